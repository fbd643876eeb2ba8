//! What the tests need besides cargo, and how a bare Debian machine gets it: only what is missing, and said before it is done.

pub(crate) mod clients;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;

/// Whether `cargo xtask test` may install what is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Install,
    UseWhatIsThere,
}

/// A program, under any of its names, and the Debian package that brings it.
struct Requirement {
    programs: &'static [&'static str],
    package: &'static str,
    purpose: &'static str,
}

const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        programs: &["node"],
        package: "nodejs",
        purpose: "runs the end-to-end tests",
    },
    Requirement {
        programs: &["npm"],
        package: "npm",
        purpose: "brings the driver of the browser",
    },
    Requirement {
        programs: &["chromium", "chromium-browser", "google-chrome"],
        package: "chromium",
        purpose: "opens the page as users do",
    },
    Requirement {
        programs: &["firefox-esr", "firefox"],
        package: "firefox-esr",
        purpose: "another engine that reads event streams",
    },
    Requirement {
        programs: &["WebKitWebDriver"],
        package: "webkit2gtk-driver",
        purpose: "a third one",
    },
    Requirement {
        programs: &["Xvfb"],
        package: "xvfb",
        purpose: "a display for it that nobody sees",
    },
    Requirement {
        programs: &["nginx"],
        package: "nginx-light",
        purpose: "stands in front of the hub; Debian also starts it as a service, on port 80",
    },
    Requirement {
        programs: &["ip"],
        package: "iproute2",
        purpose: "gives a browser a bad network of its own",
    },
    Requirement {
        programs: &["python3"],
        package: "python3-venv",
        purpose: "runs clients of the Mercure protocol from PyPI",
    },
    Requirement {
        programs: &["curl"],
        package: "curl",
        purpose: "runs the lines that the page offers to copy",
    },
];

/// Installs what is missing, where the policy lets it. `Err` says what to do by hand.
pub(crate) fn ensure(policy: Policy) -> Result<(), String> {
    let missing: Vec<&Requirement> = REQUIREMENTS
        .iter()
        .filter(|requirement| process::find_program(requirement.programs).is_none())
        .collect();
    for requirement in &missing {
        let Requirement {
            package, purpose, ..
        } = requirement;
        println!("missing: Debian's {package} ({purpose})");
    }
    if policy == Policy::UseWhatIsThere {
        return Ok(());
    }
    let packages: Vec<&str> = missing
        .iter()
        .map(|requirement| requirement.package)
        .collect();
    if !packages.is_empty() {
        install_packages(&packages)?;
    }
    install_node_modules(
        &e2e_dir(),
        "playwright-core",
        "drives the browser; brings none",
    )?;
    install_node_modules(
        &e2e_dir(),
        "oidc-provider",
        "an authorization server to log in at",
    )?;
    install_node_modules(
        &mercure_clients_dir(),
        "mercure",
        "and other clients of the Mercure protocol",
    )?;
    install_node_modules(
        &sdk_dir(),
        "esbuild",
        "and TypeScript, which build the browser SDK",
    )?;
    install_python_environment(
        &mercure_clients_dir(),
        "--no-input",
        "clients of the Mercure protocol",
    )?;
    clients::install()
}

/// Where the browser SDK is written and built.
pub(crate) fn sdk_dir() -> PathBuf {
    process::root().join("sdk/js")
}

/// Whether the browser SDK can be built.
pub(crate) fn has_sdk_modules() -> bool {
    process::find_program(&["node"]).is_some() && sdk_dir().join("node_modules/esbuild").is_dir()
}

/// Where the end-to-end tests live.
pub(crate) fn e2e_dir() -> PathBuf {
    process::root().join("tests/e2e")
}

fn mercure_clients_dir() -> PathBuf {
    e2e_dir().join("mercure-clients")
}

/// Whether the browser's driver is there.
pub(crate) fn has_node_modules() -> bool {
    e2e_dir().join("node_modules/playwright-core").is_dir()
}

fn install_packages(packages: &[&str]) -> Result<(), String> {
    let by_hand = format!(
        "install them by hand (packages: {}), or run `cargo xtask test --no-install` for what is possible without",
        packages.join(" ")
    );
    if process::find_program(&["apt-get"]).is_none() {
        return Err(format!(
            "this is not Debian or one of its children; {by_hand}"
        ));
    }
    println!("installing with apt-get: {}", packages.join(" "));
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(packages);
    // The list of packages may be missing or old on a new machine, and an old one asks for files that are gone.
    let is_done = process::pass_through(apt_get()?.args(["update", "-q"]))
        && process::pass_through(apt_get()?.args(install));
    if is_done {
        Ok(())
    } else {
        Err(format!("apt-get failed; {by_hand}"))
    }
}

fn apt_get() -> Result<Command, String> {
    let is_root =
        process::capture(process::command("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let quiet = "DEBIAN_FRONTEND=noninteractive";
    if is_root {
        let mut command = process::command("env");
        command.args([quiet, "apt-get"]);
        return Ok(command);
    }
    if process::find_program(&["sudo"]).is_none() {
        return Err("apt-get needs root or sudo; or run `cargo xtask test --no-install`".into());
    }
    let mut command = process::command("sudo");
    command.args(["env", quiet, "apt-get"]);
    Ok(command)
}

/// Installs what a folder's lock file names, if its main package is not there.
fn install_node_modules(folder: &Path, package: &str, purpose: &str) -> Result<(), String> {
    let modules = folder.join("node_modules");
    if modules.join(package).is_dir() {
        return Ok(());
    }
    println!(
        "installing with npm into {}: {package} ({purpose})",
        modules.display()
    );
    let mut npm = process::command("npm");
    npm.args(["ci", "--no-audit", "--no-fund"])
        .current_dir(folder);
    by_hand_unless(process::pass_through(&mut npm), "npm")
}

/// What a folder's `requirements.txt` names, into an environment of its own: Debian's Python lets nothing be installed beside it.
fn install_python_environment(folder: &Path, option: &str, purpose: &str) -> Result<(), String> {
    let environment = folder.join(".venv");
    let done = environment.join("installed");
    if done.is_file() {
        return Ok(());
    }
    println!(
        "installing with pip into {}: {purpose}",
        environment.display()
    );
    let mut make = process::command("python3");
    make.args(["-m", "venv"]).arg(&environment);
    if !process::pass_through(&mut make) {
        // Python without the part that makes environments, which Debian keeps apart.
        install_packages(&["python3-venv"])?;
        by_hand_unless(process::pass_through(&mut make), "python3 -m venv")?;
    }
    let mut pip = process::command(&environment.join("bin/python").to_string_lossy());
    pip.args(["-m", "pip", "install", "--quiet"])
        .args(["--disable-pip-version-check", option, "-r"])
        .arg(folder.join("requirements.txt"));
    by_hand_unless(process::pass_through(&mut pip), "pip")?;
    fs::write(&done, "").map_err(|error| format!("{}: {error}", done.display()))
}

fn by_hand_unless(is_done: bool, program: &str) -> Result<(), String> {
    if is_done {
        Ok(())
    } else {
        Err(format!(
            "{program} failed; or run `cargo xtask test --no-install`"
        ))
    }
}

/// Builds the reference hub with Go where it is not there yet, and says where it is: a peer of benchmarks and of the conformance suite.
pub(crate) fn mercure() -> Result<PathBuf, String> {
    let binary = process::root().join("bench/.peers/mercure");
    if binary.exists() {
        return Ok(binary);
    }
    println!("building Mercure 0.24.2 with Go (minutes)");
    let folder = process::root().join("bench/.peers");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut command = process::command("go");
    command
        .args(["build", "-tags", "nobadger,nomysql,nopgx", "-o"])
        .arg(&binary)
        .arg(".")
        .current_dir(process::root().join("bench/mercure"));
    process::capture(&mut command).map(|_| binary)
}
