module pollex/image/entrypoint

go 1.19
