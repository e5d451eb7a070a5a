//! A program with two points. A test build can be killed at either:
//!
//! ```text
//! CDC_FAILPOINTS=after-the-file=kill cargo run -p cdc-failpoint --features enabled --example points
//! ```

fn main() -> std::io::Result<()> {
    let path = std::env::temp_dir().join(format!("points-{}", std::process::id()));
    cdc_failpoint::hit("before-the-file");
    std::fs::write(&path, "half of the work")?;
    cdc_failpoint::hit("after-the-file");
    std::fs::remove_file(&path)
}
