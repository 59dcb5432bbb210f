package main

// version is set by the linker; a plain go build says dev.
var version = "dev"
