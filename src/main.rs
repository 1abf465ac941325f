//! Parses the command line and calls one command; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    latchkey::cli::main()
}
