//! `lakehouse init`.

use crate::Outcome;
use crate::arguments::{Global, InitArgs};
use crate::text_table::{TextTable, bytes, grouped};
use mirror::{DatabaseUrl, Error, ErrorKind, Result, Secret};
use std::io::IsTerminal;

pub(crate) async fn run(global: &Global, args: &InitArgs) -> Result<Outcome> {
    let url = DatabaseUrl::parse(&args.url)?;
    let path = &global.config;
    if path.exists() && !args.force {
        return Err(Error::configuration(format!(
            "{} is there already\n  → edit it, choose another name with -c FILE, or overwrite it with --force",
            path.display()
        )));
    }
    let password = password(&url, args)?;
    let found = mirror::discover(&url, &password).await?;
    let text = found.configuration(&url, args.password_file.as_deref());
    std::fs::write(path, text)
        .map_err(|e| Error::new(ErrorKind::Unavailable, format!("cannot write {}: {e}", path.display())).with_source(e))?;
    if global.json {
        println!("{}", serde_json::json!({ "configuration": path, "server": found.server, "tables": found.tables }));
        return Ok(Outcome::Done);
    }
    println!("wrote {}: {} tables of {}, {}", path.display(), found.tables.len(), url.database, found.server);
    let mut out = TextTable::new(&["table", "key", ">about rows", ">size", "remarks"]);
    for t in &found.tables {
        let key = if t.key.is_empty() { "none".to_owned() } else { t.key.join(", ") };
        out.row([t.table.clone(), key, grouped(t.estimated_rows), bytes(t.size_bytes), t.remarks.join("; ")]);
    }
    print!("{}", out.render());
    let config = if path.as_os_str() == "mirror.toml" { String::new() } else { format!(" -c {}", path.display()) };
    println!("next: lakehouse check{config} && lakehouse run{config}");
    Ok(Outcome::Done)
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
