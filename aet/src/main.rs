//! The `aet` binary: pretrains image encoders without labels by Auto-Encoding Transformations.
//!
//! `main` reads the command line, runs one command ([`command`]) and turns its end into an exit
//! code ([`failure`]), with which the process ends ([`leave`]).

mod allocator;
mod command;
mod failure;
mod features;
mod interrupt;
mod leave;
mod machine;
mod memory;
mod methods;
mod output;
mod picture;
mod preset;
mod progress;
mod protocols;
mod records;
mod recovered;
mod report;
mod run_place;
mod scoreboard;
mod table;
mod verdict;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    allocator::keep_freed_memory();
    progress::start_log();
    let outcome = match command::Cli::try_parse() {
        Ok(cli) => command::run(cli),
        Err(error) if !error.use_stderr() => output::print_help(&error),
        Err(error) => Err(failure::of_command_line(&error)),
    };
    leave::with(failure::exit_code(outcome))
}
