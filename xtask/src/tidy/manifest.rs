//! Every crate states the oldest compiler it supports, the same one for the whole workspace.

use super::Finding;
use crate::source::Source;

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    sources
        .iter()
        .filter(|source| source.path.ends_with("/Cargo.toml"))
        .filter(|source| is_package(source) && !inherits_rust_version(source))
        .map(|source| {
            let message = "no rust-version of the workspace; write `rust-version.workspace = true` under [package]";
            Finding::on_line(source, 1, message)
        })
        .collect()
}

fn is_package(source: &Source) -> bool {
    source.text.lines().any(|line| line.trim() == "[package]")
}

fn inherits_rust_version(source: &Source) -> bool {
    let package =
        source.text.lines().map(str::trim).skip_while(|line| *line != "[package]").skip(1);
    let spelled = |line: &str| line.replace(' ', "");
    package.take_while(|line| !line.starts_with('[')).map(spelled).any(|line| {
        line == "rust-version.workspace=true" || line == "rust-version={workspace=true}"
    })
}

#[cfg(test)]
mod tests {
    use super::super::messages;
    use super::*;

    #[test]
    fn the_version_is_inherited_in_the_package_table() {
        let good = "[package]\nname = \"a\"\nrust-version.workspace = true\n[dependencies]\n";
        assert!(messages(check, "crates/a/Cargo.toml", good).is_empty());
        assert!(messages(check, "fuzz/Cargo.toml", "[workspace]\n").is_empty());
        let own = "[package]\nname = \"a\"\nrust-version = \"1.80\"\n";
        assert_eq!(messages(check, "crates/a/Cargo.toml", own).len(), 1);
        let elsewhere = "[package]\nname = \"a\"\n[metadata]\nrust-version.workspace = true\n";
        assert_eq!(messages(check, "crates/a/Cargo.toml", elsewhere).len(), 1);
    }
}
