//! Chores of the repository: `cargo xtask <chore>`.
//!
//! A chore is a module with its `Arguments` (clap's) and a function `run`. It is added by its `mod` and its line under
//! `chores!`.
#![forbid(unsafe_code)]

mod codegen;
mod dist;
mod manual;
mod metadata;
mod tests;
mod tidy;
mod tree;

use std::process::ExitCode;

use clap::Parser;

/// Makes a subcommand of each module in the list.
macro_rules! chores {
    ($($(#[$meta:meta])* $name:ident = $module:ident),+ $(,)?) => {
        #[derive(clap::Subcommand)]
        enum Chore { $($(#[$meta])* $name($module::Arguments)),+ }

        impl Chore {
            fn run(self, tree: &tree::Tree) -> anyhow::Result<()> {
                match self { $(Self::$name(arguments) => $module::run(&arguments, tree)),+ }
            }
        }
    };
}

chores! {
    /// Write the Rust of every operation from its page under docs/api
    Codegen = codegen,
    /// Check what no compiler checks: layers, licences, documents, figures, banned calls
    Tidy = tidy,
    /// Run the tests of the workspace, several programs of tests at a time
    Test = tests,
    /// Make the release: programs, archives, packages, image, sums
    Dist = dist,
    /// Make the manual, in English and Chinese
    Manual = manual,
}

/// Chores of the repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct CommandLine {
    #[command(subcommand)]
    chore: Chore,
}

fn main() -> ExitCode {
    match CommandLine::parse().chore.run(&tree::Tree::of_this_repository()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
