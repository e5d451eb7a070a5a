//! What the program says of itself, without a server or a file.

use std::process::Command;

fn said(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lakehouse")).args(args).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_has_a_help_with_an_example() {
    let help = said(&["--help"]);
    let commands = ["init", "check", "run", "verify", "status", "tables", "snapshots", "resnapshot", "log"];
    for command in commands {
        assert!(help.lines().any(|l| l.trim_start().starts_with(&format!("{command} "))), "{command}: {help}");
        let help = said(&[command, "--help"]);
        assert!(help.contains(&format!("Usage: lakehouse {command}")), "{help}");
        assert!(help.contains("Example"), "no example: {help}");
        assert!(help.contains(&format!("\n  lakehouse {command}")), "an example of another command: {help}");
        for option in ["--config <FILE>", "--set <KEY=VALUE>", "--json", "--verbose", "--quiet", "--log-format"] {
            assert!(help.contains(option), "{command} has no {option}: {help}");
        }
    }
    for code in ["0 done", "1 a difference", "2 usage", "3 a server", "4 stopped", "130 interrupted"] {
        assert!(help.contains(code), "{code}: {help}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(said(&["--version"]), format!("lakehouse {}\n", env!("CARGO_PKG_VERSION")));
}
