# cmake -D FILE=CMakeLists.txt [-D OPTION=VALUE …] -P sources.cmake, in ggml/src/ggml-cuda of a source tree
#
# Runs ggml-cuda's CMakeLists.txt without a CUDA toolkit and prints what it would compile: "source PATH" for each file
# and "define NAME[=VALUE]" for each definition. What CMake allows in a project only is replaced by what prints it.

set(CUDAToolkit_FOUND ON)
set(CUDAToolkit_VERSION 10.2)
# Its default, which ggml/CMakeLists.txt sets.
set(GGML_CUDA_PEER_MAX_BATCH_SIZE 128)

function(ggml_add_backend_library name)
    foreach(file IN LISTS ARGN)
        if(file MATCHES "\\.cu$")
            file(RELATIVE_PATH path "${CMAKE_CURRENT_SOURCE_DIR}" "${file}")
            execute_process(COMMAND "${CMAKE_COMMAND}" -E echo "source ${path}")
        endif()
    endforeach()
endfunction()

function(add_compile_definitions)
    foreach(definition IN LISTS ARGN)
        execute_process(COMMAND "${CMAKE_COMMAND}" -E echo "define ${definition}")
    endforeach()
endfunction()

macro(find_package)
endmacro()
macro(find_path)
endmacro()
macro(enable_language)
endmacro()
function(target_include_directories)
endfunction()
function(target_link_libraries)
endfunction()
function(target_compile_options)
endfunction()
function(message)
endfunction()

include("${FILE}")
