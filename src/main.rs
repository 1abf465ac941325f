//! Parses the command line and calls one command; nothing else.

fn main() {}
