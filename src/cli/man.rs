//! `latchkey man`: the manual, as `man` reads it.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use clap_mangen::Man;
use serde_json::json;

use super::{VERSION, commands, fail};

/// Print the manual, or write a page for each command
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  latchkey man | man --local-file -                    read it
  latchkey man --into ~/.local/share/man/man1          have all pages at hand: man latchkey, man latchkey-login")]
pub(super) struct ManArgs {
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,

    /// Print the page, or the names of the files, within one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn man(args: &ManArgs) -> ExitCode {
    let mut command = commands().disable_help_subcommand(true);
    command.build();
    let said = match &args.into {
        None => page(&command).map(|page| match args.json {
            true => json!({ "status": "ok", "data": { "page": page } }).to_string() + "\n",
            false => page,
        }),
        Some(folder) => write_all(&command, folder).map(|files| match args.json {
            true => json!({ "status": "ok", "data": { "files": files } }).to_string() + "\n",
            false => String::new(),
        }),
    };
    match said {
        Ok(said) => {
            // A reader that has gone has read enough.
            let _ = io::stdout().write_all(said.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => fail(format_args!("the manual cannot be written: {error}")),
    }
}

/// The pages of a command and of those below it, and the files that they are in.
fn write_all(command: &clap::Command, folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let mut files = Vec::new();
    let mut left = vec![command];
    while let Some(command) = left.pop() {
        let file = folder.join(Man::new(command.clone()).get_filename());
        File::create(&file)?.write_all(page(command)?.as_bytes())?;
        files.push(file);
        left.extend(command.get_subcommands());
    }
    files.sort();
    Ok(files)
}

fn page(command: &clap::Command) -> io::Result<String> {
    let mut roff = Vec::new();
    Man::new(command.clone()).source(format!("latchkey {VERSION}")).manual("Latchkey").render(&mut roff)?;
    let mut page = String::new();
    let mut is_example = false;
    for line in String::from_utf8_lossy(&roff).lines() {
        // Examples stand as they are written, and everything else flows.
        if is_example != line.starts_with("  ") {
            is_example = !is_example;
            page += if is_example { ".nf\n" } else { ".fi\n" };
        }
        page += if line == ".SH EXTRA" { ".SH NOTES" } else { line };
        page += "\n";
    }
    Ok(page)
}
