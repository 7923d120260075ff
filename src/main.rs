//! The program. Everything is in the library, so that the tests can drive it.

use std::process::ExitCode;

fn main() -> ExitCode {
    trunkline::cli::main()
}
