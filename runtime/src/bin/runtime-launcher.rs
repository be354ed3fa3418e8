//! The launcher alone, for this crate's tests. The product's binary is its own launcher.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Called as the product is: `<program> launcher <options>`.
    let code = runtime::launcher::main(std::env::args_os().skip(2));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
