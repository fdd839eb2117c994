//! The psmith command.

fn main() -> std::process::ExitCode {
    psmith_cli::main()
}
