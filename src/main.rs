//! Parse, run, exit code.

fn main() -> std::process::ExitCode {
    maint::cli::main()
}
