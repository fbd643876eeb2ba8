//! Running other programs from the workspace root, quietly or with their output passed on.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder that holds the workspace manifest.
pub(crate) fn root() -> PathBuf {
    let manifest_dir =
        std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    let xtask = Path::new(&manifest_dir);
    xtask
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// A command that runs in the workspace root and reads no input.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    // `cargo run` tells its child about xtask's own manifest; the cargos we start look for themselves.
    command.env_remove("CARGO_MANIFEST_DIR");
    command
}

/// Runs a command and keeps its output: `Ok` is stdout, `Err` is what it complained of.
pub(crate) fn capture(command: &mut Command) -> Result<String, String> {
    let shown = show(command);
    let output = command
        .output()
        .map_err(|error| format!("`{shown}` did not start: {error}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{stdout}{stderr}"))
}

/// Runs a command with its output on ours, and says whether it ended well.
pub(crate) fn pass_through(command: &mut Command) -> bool {
    println!("$ {}", show(command));
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            println!("`{}` did not start: {error}", show(command));
            false
        }
    }
}

/// Like [`pass_through`], and hands each line of stdout to `look` as well.
pub(crate) fn pass_through_and(command: &mut Command, mut look: impl FnMut(&str)) -> bool {
    println!("$ {}", show(command));
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            println!("`{}` did not start: {error}", show(command));
            return false;
        }
    };
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout);
        let mut line = Vec::new();
        // Bytes, not `lines()`: a test may print what is not UTF-8, and its pipe must not break.
        while lines
            .read_until(b'\n', &mut line)
            .is_ok_and(|count| count > 0)
        {
            let text = String::from_utf8_lossy(&line);
            print!("{text}");
            look(text.trim_end());
            line.clear();
        }
    }
    child.wait().is_ok_and(|status| status.success())
}

/// The first of `names` that the search path holds.
pub(crate) fn find_program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps nginx in a folder that an ordinary user's path leaves out.
    let folders: Vec<PathBuf> = std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .collect();
    names.iter().find_map(|name| {
        folders
            .iter()
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    })
}

fn show(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    if let Some(program) = Path::new(&words[0]).file_name() {
        words[0] = program.to_string_lossy().into_owned();
    }
    words.join(" ")
}
