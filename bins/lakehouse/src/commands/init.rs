//! `lakehouse init`.

use crate::arguments::InitArgs;
use mirror::{DatabaseUrl, Error, ErrorKind, Result, Secret};
use mirror_cli::Options;
use mirror_cli::text_table::{TextTable, bytes, counted, grouped, one_line};
use mirror_cli::{Outcome, output};
use std::io::{IsTerminal, Write};
use std::path::Path;

pub(crate) async fn run(options: &Options, args: &InitArgs) -> Result<Outcome> {
    let url = DatabaseUrl::parse(&args.url)?;
    let [path] = &options.config[..] else {
        return Err(Error::configuration("there are several files to write the configuration to\n  → give -c FILE once"));
    };
    if path.exists() && !args.force {
        return Err(is_there(path));
    }
    let password = password(&url, args)?;
    let found = mirror::discover(&url, &password).await.map_err(|e| say_how_to_give_a_password(e, &password))?;
    let text = found.configuration(&url, args.password_file.as_deref());
    write_file(path, &text, args.force)?;
    if options.json {
        let document = serde_json::json!({ "configuration": path, "server": found.server, "tables": found.tables });
        output::print_json(&document)?;
        return Ok(Outcome::Done);
    }
    let tables = counted(found.tables.len() as u64, "table");
    let mut out = format!("wrote {}: {tables} of {}, {}\n", path.display(), url.database, found.server);
    let mut table = TextTable::new(&["table", "key", ">about rows", ">size"]);
    for t in &found.tables {
        let key = if t.key.is_empty() { "none".to_owned() } else { t.key.join(", ") };
        table.row([t.table.clone(), key, grouped(t.estimated_rows), bytes(t.size_bytes)]);
    }
    out += &table.render();
    for (t, remark) in found.tables.iter().flat_map(|t| t.remarks.iter().map(move |remark| (t, remark))) {
        out += &format!("note: {}: {}\n", one_line(&t.table), one_line(remark));
    }
    if args.password_file.is_none() && std::env::var_os(mirror::PASSWORD_VARIABLE).is_none() {
        out += &format!("the password is not in the file: export {}=...\n", mirror::PASSWORD_VARIABLE);
    }
    let config = if path.as_os_str() == "mirror.toml" {
        String::new()
    } else {
        format!(" -c {}", mirror::shell_word(&path.to_string_lossy()))
    };
    out += &format!("next: lakehouse check{config} && lakehouse run{config}\n");
    output::print(&out)?;
    Ok(Outcome::Done)
}

/// Writes the file; one that is there already only if it may be overwritten.
fn write_file(path: &Path, text: &str, overwrite: bool) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(overwrite).truncate(overwrite).create_new(!overwrite);
    match options.open(path).and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Err(is_there(path)),
        Err(e) => Err(Error::new(
            ErrorKind::Unavailable,
            format!("cannot write {}: {e}\n  → name another file with -c FILE", path.display()),
        )
        .with_source(e)),
    }
}

/// There is no configuration yet to set the password in.
fn say_how_to_give_a_password(e: Error, password: &Secret) -> Error {
    const SETTING: &str = "set database.password, and check database.user";
    let message = e.to_string();
    if !password.is_empty() || !message.contains(SETTING) {
        return e;
    }
    let how = format!("export {}=..., or --password-file FILE; and check the user", mirror::PASSWORD_VARIABLE);
    Error::new(e.kind(), message.replace(SETTING, &how)).with_source(e)
}

fn is_there(path: &Path) -> Error {
    Error::configuration(format!(
        "{} is there already\n  → edit it, choose another name with -c FILE, or overwrite it with --force",
        path.display()
    ))
}

fn password(url: &DatabaseUrl, args: &InitArgs) -> Result<Secret> {
    if let Some(file) = &args.password_file {
        let text = std::fs::read_to_string(file)
            .map_err(|e| Error::configuration(format!("cannot read --password-file {}: {e}", file.display())).with_source(e))?;
        return Ok(Secret::new(text.trim_end_matches(['\r', '\n'])));
    }
    if let Some(password) = &url.password {
        return Ok(password.clone());
    }
    if let Ok(password) = std::env::var(mirror::PASSWORD_VARIABLE) {
        return Ok(Secret::new(password));
    }
    if std::io::stdin().is_terminal() {
        return Err(Error::configuration(format!(
            "no password for {}@{}\n  → export {}=..., or --password-file FILE (an empty one for no password)",
            url.user,
            url.hostname,
            mirror::PASSWORD_VARIABLE
        )));
    }
    Ok(Secret::default())
}
