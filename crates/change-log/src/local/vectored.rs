use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Seek, SeekFrom, Write};

/// The most parts that a system takes at once (`IOV_MAX`).
const MAX_PARTS: usize = 1024;

/// Writes all parts one after the other from a position on. The file's own cursor moves: readers must not use it.
pub(super) fn write_all_at(mut file: &File, mut parts: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(position))?;
    while !parts.is_empty() {
        let n = parts.len().min(MAX_PARTS);
        match file.write_vectored(parts.get(..n).unwrap_or_default()) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut parts, written),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn thousands_of_parts_are_written_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"0123456789").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let words: Vec<String> = (0..5000).map(|i| format!("{i},")).collect();
        let mut parts: Vec<IoSlice<'_>> = words.iter().map(|w| IoSlice::new(w.as_bytes())).collect();
        write_all_at(&file, &mut parts, 4).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("0123{}", words.concat()));
    }
}
