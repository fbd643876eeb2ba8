//! Everyone else's clients of event streams, for `tests/clients`: from npm, PyPI, crates.io, Go's modules and Maven Central, each at the
//! version that a file in its folder names. Not here: toolchains. What needs one that is missing is left out, and its test says so.

use std::fs;
use std::path::{Path, PathBuf};

use super::{by_hand_unless, install_node_modules, install_python_environment};
use crate::process;

/// Where their programs, and the tests that drive them, live.
pub(crate) fn dir() -> PathBuf {
    process::root().join("tests/clients")
}

/// Where those go that have to be built, besides Rust's.
fn built() -> PathBuf {
    process::target_dir().join("clients")
}

/// Where Rust's are built: for these tests, and for those of their own.
pub(crate) fn rust_target_dir() -> PathBuf {
    process::target_dir().join("rust-clients")
}

/// Whether there is anything to drive them with.
pub(crate) fn are_installed() -> bool {
    process::find_program(&["node"]).is_some() && dir().join("node_modules/undici").is_dir()
}

pub(super) fn install() -> Result<(), String> {
    let purpose = "clients of event streams, to be driven through a restart";
    install_node_modules(&dir(), "undici", purpose)?;
    install_python_environment(&dir().join("python"), "--require-hashes", purpose)?;
    build_rust()?;
    build_go()?;
    build_java()
}

fn build_rust() -> Result<(), String> {
    let mut build = process::cargo();
    // A workspace of its own, built into its own folder: no feature of theirs reaches ours. Without `--locked`, for one of the
    // four is ours, and what that needs may change.
    build.args(["build", "--quiet", "--bin", "matrix", "--target-dir"]);
    build.arg(built().join("rust"));
    build
        .arg("--manifest-path")
        .arg(dir().join("rust/Cargo.toml"));
    by_hand_unless(
        process::pass_through(&mut build),
        "building tests/clients/rust",
    )
}

fn build_go() -> Result<(), String> {
    if !has_go() {
        println!("missing: Go from 1.22 on (two clients are left out)");
        return Ok(());
    }
    let folder = built().join("go");
    let by = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(by)?;
    let mut build = process::command("go");
    build
        .current_dir(dir().join("go"))
        .args(["build", "-mod=readonly", "-o"])
        .arg(&folder)
        .arg("./...");
    by_hand_unless(process::pass_through(&mut build), "go build")
}

/// Modules that say more than a Go understands make it fetch another Go.
fn has_go() -> bool {
    let version =
        process::capture(process::command("go").args(["env", "GOVERSION"])).unwrap_or_default();
    let minor = version
        .trim()
        .strip_prefix("go1.")
        .and_then(|rest| rest.split('.').next());
    minor.is_some_and(|minor| minor.parse().is_ok_and(|minor: u32| minor >= 22))
}

fn build_java() -> Result<(), String> {
    let missing = ["mvn", "javac", "java"]
        .iter()
        .find(|name| process::find_program(&[name]).is_none());
    if let Some(name) = missing {
        println!("missing: {name} (a client in Java is left out)");
        return Ok(());
    }
    let (sources, folder) = (dir().join("java"), built().join("java"));
    let read = |name: &str| {
        let file = sources.join(name);
        fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))
    };
    let (jars, wanted) = (
        read("jars.sha256")?,
        read("pom.xml")? + &read("Client.java")?,
    );
    let done = folder.join("installed");
    if fs::read_to_string(&done).is_ok_and(|built| built == format!("{jars}{wanted}")) {
        return Ok(());
    }
    println!(
        "installing with Maven into {}: okhttp-eventsource and what it needs",
        folder.display()
    );
    fetch_jars(&sources, &folder)?;
    compile(&sources, &folder)?;
    fs::write(&done, format!("{jars}{wanted}"))
        .map_err(|error| format!("{}: {error}", done.display()))
}

fn fetch_jars(sources: &Path, folder: &Path) -> Result<(), String> {
    let mut fetch = process::command("mvn");
    fetch
        .args(["--quiet", "--batch-mode", "--file"])
        .arg(sources.join("pom.xml"))
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", folder.display()));
    by_hand_unless(process::pass_through(&mut fetch), "mvn")?;
    let mut verify = process::command("sha256sum");
    verify
        .current_dir(folder)
        .args(["--quiet", "--strict", "--check"])
        .arg(sources.join("jars.sha256"));
    by_hand_unless(process::pass_through(&mut verify), "jars.sha256")
}

fn compile(sources: &Path, folder: &Path) -> Result<(), String> {
    let mut compile = process::command("javac");
    compile
        .arg("-cp")
        .arg(folder.join("*"))
        .arg("-d")
        .arg(folder)
        .arg(sources.join("Client.java"));
    by_hand_unless(process::pass_through(&mut compile), "javac")
}
