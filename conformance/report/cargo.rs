//! What Cargo knows, and what it builds.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use crate::Failure;

/// The workspace that the working directory belongs to.
#[derive(Deserialize)]
pub(crate) struct Workspace {
    /// Where everything that is made goes.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    packages: Vec<Package>,
}

/// A package of the workspace.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// The path of its `Cargo.toml`.
    #[serde(rename = "manifest_path")]
    pub(crate) manifest: PathBuf,
    targets: Vec<Target>,
}

#[derive(Clone, Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Target {
    fn is_the_suite(&self) -> bool {
        self.name == "conformance" && self.kind.iter().any(|kind| kind == "test")
    }
}

impl Workspace {
    /// Asks Cargo.
    pub(crate) async fn find() -> Result<Self, Failure> {
        let mut command = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
        let output = command.output().await.map_err(Failure::environment("cannot run cargo"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::Environment(format!("cargo metadata: {}", said.trim_end())));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| Failure::Environment(format!("cargo metadata: {error}")))
    }

    /// The packages of these names, which have to have a test `conformance`.
    pub(crate) fn packages(&self, names: &[String]) -> Result<Vec<&Package>, Failure> {
        let mut found: Vec<&Package> = Vec::new();
        for name in names {
            let Some(package) = self.packages.iter().find(|package| package.name == *name) else {
                return Err(Failure::Arguments(format!(
                    "this workspace has no package `{name}` (--package names yours)"
                )));
            };
            if !package.targets.iter().any(Target::is_the_suite) {
                return Err(Failure::Arguments(format!("the package `{name}` has no test `conformance`")));
            }
            if !found.iter().any(|other| other.name == *name) {
                found.push(package);
            }
        }
        Ok(found)
    }
}

/// A line of what Cargo says while it builds.
#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    target: Target,
    executable: Option<PathBuf>,
}

/// Builds the tests of these packages together, so that they share what they depend on. Gives, by the packages'
/// manifests, the programs of those that compile; what is wrong with the others Cargo tells the user.
pub(crate) async fn build(packages: &[&Package]) -> Result<BTreeMap<PathBuf, PathBuf>, Failure> {
    let mut command = cargo(&["build", "--keep-going", "--message-format", "json-render-diagnostics"]);
    command.args(["--test", "conformance"]);
    for package in packages {
        command.args(["--package", &package.name]);
    }
    let child = command.stdout(Stdio::piped()).spawn().map_err(Failure::environment("cannot run cargo"))?;
    let output = child.wait_with_output().await.map_err(Failure::environment("cargo build"))?;
    let artifacts = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| {
        let artifact: Artifact = serde_json::from_slice(line).ok()?;
        artifact.target.is_the_suite().then_some((artifact.manifest_path, artifact.executable?))
    });
    Ok(artifacts.collect())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}
