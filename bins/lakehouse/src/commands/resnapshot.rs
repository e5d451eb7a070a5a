//! `lakehouse resnapshot`.

use super::read_config;
use crate::arguments::ResnapshotArgs;
use mirror::{ReadAgain, Resnapshot, Result};
use mirror_cli::Options;
use mirror_cli::text_table::{TextTable, grouped};
use mirror_cli::{Outcome, output};

pub(crate) async fn run(options: &Options, args: &ResnapshotArgs) -> Result<Outcome> {
    let config = read_config(options)?;
    let which = match (args.only_needed, args.tables.is_empty()) {
        (true, _) => ReadAgain::OnlyNeeded,
        (false, true) => ReadAgain::All,
        (false, false) => ReadAgain::Tables(args.tables.clone()),
    };
    let found = mirror::resnapshot(&config, &which).await?;
    if options.json {
        output::print_json(&found)?;
    } else {
        output::print(&render(&found))?;
    }
    Ok(Outcome::Done)
}

fn render(found: &Resnapshot) -> String {
    if found.tables.is_empty() {
        return "nothing is to be read again: no table has stopped, and the binary log goes on where the mirror is\n".to_owned();
    }
    let mut out = match found.tables.len() {
        1 => "1 table is read again when the mirror starts\n".to_owned(),
        n => format!("{n} tables are read again when the mirror starts\n"),
    };
    let mut table = TextTable::new(&["table", ">records now", "state"]);
    for t in &found.tables {
        let state = if t.stopped.is_some() { "stopped" } else { "followed" };
        table.row([t.table.clone(), t.records.map(grouped).unwrap_or_default(), state.to_owned()]);
    }
    out += &table.render();
    if let Some(why) = &found.position_given_up {
        let why = why.split("\n").take_while(|line| !line.trim_start().starts_with('→')).collect::<Vec<_>>().join("\n");
        out += &format!("all of them, since the mirror {}\n", output::indented(&why));
    }
    out + "next: lakehouse run\n"
}
