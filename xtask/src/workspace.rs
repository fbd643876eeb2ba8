//! What `cargo metadata` says about the workspace: its packages, their edges, and every dependency's licence.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process;

/// The packages of the workspace and of everything it can depend on.
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
}

pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The SPDX expression of the manifest.
    pub(crate) licence: Option<String>,
    /// Where it comes from; a path of this workspace has none.
    pub(crate) source: Option<String>,
    pub(crate) is_member: bool,
    pub(crate) folder: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

pub(crate) struct Dependency {
    /// The package's own name, whatever the manifest renames it to.
    pub(crate) name: String,
    pub(crate) kind: DependencyKind,
    pub(crate) is_optional: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DependencyKind {
    Normal,
    Dev,
    Build,
}

pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kinds: Vec<String>,
}

impl Workspace {
    /// Asks cargo. `Err` is cargo's complaint.
    pub(crate) fn read() -> Result<Self, String> {
        let text = process::capture(process::cargo().args([
            "metadata",
            "--format-version=1",
            "--all-features",
        ]))?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
        Ok(Self::of(&value))
    }

    fn of(metadata: &Value) -> Self {
        let members: Vec<&str> = texts(&metadata["workspace_members"]).collect();
        let packages = metadata["packages"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        Self {
            packages: packages
                .iter()
                .map(|package| Package::of(package, &members))
                .collect(),
        }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_member)
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Package> {
        self.members().find(|package| package.name == name)
    }
}

impl Package {
    fn of(package: &Value, members: &[&str]) -> Self {
        let text = |key: &str| package[key].as_str().map(str::to_owned);
        let list = |key: &str| package[key].as_array().map_or(&[][..], Vec::as_slice);
        Self {
            name: text("name").unwrap_or_default(),
            version: text("version").unwrap_or_default(),
            licence: text("license"),
            source: text("source"),
            is_member: package["id"]
                .as_str()
                .is_some_and(|id| members.contains(&id)),
            folder: Path::new(package["manifest_path"].as_str().unwrap_or_default())
                .parent()
                .map_or_else(PathBuf::new, Path::to_path_buf),
            dependencies: list("dependencies").iter().map(Dependency::of).collect(),
            targets: list("targets").iter().map(Target::of).collect(),
        }
    }
}

impl Dependency {
    fn of(value: &Value) -> Self {
        Self {
            name: value["name"].as_str().unwrap_or_default().to_owned(),
            kind: match value["kind"].as_str() {
                Some("dev") => DependencyKind::Dev,
                Some("build") => DependencyKind::Build,
                _ => DependencyKind::Normal,
            },
            is_optional: value["optional"].as_bool().unwrap_or(false),
        }
    }
}

impl Target {
    fn of(value: &Value) -> Self {
        Self {
            name: value["name"].as_str().unwrap_or_default().to_owned(),
            kinds: texts(&value["kind"]).map(str::to_owned).collect(),
        }
    }
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_array()
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .filter_map(Value::as_str)
}
