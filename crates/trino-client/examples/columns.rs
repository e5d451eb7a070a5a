//! Prints what columns are: `cargo run --example columns 'decimal(38,2)' 'row(a array(date))'`.

use trino_client::TrinoType;

fn main() -> Result<(), trino_client::TypeError> {
    for text in std::env::args().skip(1) {
        let parsed: TrinoType = text.parse()?;
        match &parsed {
            TrinoType::Row(fields) => println!("{parsed}: a row of {} fields", fields.len()),
            TrinoType::Array(element) => println!("{parsed}: any number of {element}"),
            TrinoType::Map(key, value) => println!("{parsed}: from {key} to {value}"),
            TrinoType::Other(_) => println!("{parsed}: a type that this version does not know"),
            _ => println!("{parsed}"),
        }
    }
    Ok(())
}
