#include "common.cuh"

#include <ucontext.h>

#include <vector>

Readable readable[2];
dim3 threadIdx, blockIdx, blockDim;

namespace {

constexpr int LANES = 32;
constexpr size_t STACK = 256 * 1024;

struct Warp {
    ucontext_t caller;
    ucontext_t lane[LANES];
    std::vector<char> stacks = std::vector<char>(LANES * STACK);
    float values[2][LANES]; // of the shuffle that lanes are in, and of the next, which the first of them may reach
    int shuffles[LANES];
    bool ended[LANES];
    int first;   // thread of lane 0
    int current;
    const std::function<void()> * kernel;
};

Warp warp;

void resume(int lane) {
    warp.current = lane;
    threadIdx.x = warp.first + lane;
    swapcontext(&warp.caller, &warp.lane[lane]);
}

void run_lane() {
    (*warp.kernel)();
    warp.ended[warp.current] = true;
    swapcontext(&warp.lane[warp.current], &warp.caller);
}

void run_warp() {
    for (int lane = 0; lane < LANES; ++lane) {
        warp.ended[lane] = false;
        warp.shuffles[lane] = 0;
        getcontext(&warp.lane[lane]);
        warp.lane[lane].uc_stack.ss_sp = warp.stacks.data() + lane * STACK;
        warp.lane[lane].uc_stack.ss_size = STACK;
        makecontext(&warp.lane[lane], run_lane, 0);
    }
    // Every round takes each lane to its next shuffle; a lane that ended early leaves the others none to meet it in.
    for (bool any = true; any;) {
        any = false;
        for (int lane = 0; lane < LANES; ++lane) {
            if (!warp.ended[lane]) {
                resume(lane);
                any = any || !warp.ended[lane];
            }
        }
    }
    for (int lane = 1; lane < LANES; ++lane) {
        if (warp.shuffles[lane] != warp.shuffles[0]) {
            std::fprintf(stderr, "error: the lanes of a warp do not meet in the same shuffles\n");
            std::exit(1);
        }
    }
}

} // namespace

const float * shuffle(float mine) {
    const int lane = warp.current;
    float * values = warp.values[warp.shuffles[lane]++ % 2];
    values[lane] = mine;
    swapcontext(&warp.lane[lane], &warp.caller);
    return values;
}

void launch(dim3 grid, dim3 block, const std::function<void()> & kernel) {
    warp.kernel = &kernel;
    blockDim = block;
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y) {
        for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) {
            for (warp.first = 0; warp.first < block.x; warp.first += LANES) {
                run_warp();
            }
        }
    }
}
