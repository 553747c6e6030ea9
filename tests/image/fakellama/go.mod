module pollex/tests/image/fakellama

go 1.19
