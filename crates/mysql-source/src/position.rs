use cdc_core::{Error, ErrorKind, IntervalSet, Result, TransactionSet};

/// Reads MySQL's text of a GTID set: `uuid[:tag]:first[-last][:...], ...`.
///
/// The key of a tagged group is `uuid:tag`, as the server prints it.
///
/// # Errors
/// [`ErrorKind::Invalid`] holds the text that is not understood.
pub fn parse_gtid_set(text: &str) -> Result<TransactionSet> {
    let mut set = TransactionSet::default();
    for group in text.split(',').map(str::trim).filter(|g| !g.is_empty()) {
        let mut parts = group.split(':').map(str::trim);
        let uuid = parts.next().unwrap_or_default().to_ascii_lowercase();
        let mut origin = uuid.clone();
        for part in parts {
            if part.starts_with(|c: char| c.is_ascii_digit()) {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else {
                    return Err(invalid("GTID set", text));
                };
                let mut interval = IntervalSet::range(first, last.saturating_add(1));
                if first == 0 || last < first {
                    return Err(invalid("GTID set", text));
                }
                let mine = set.0.entry(origin.clone()).or_default();
                std::mem::swap(mine, &mut interval);
                for &(start, end) in interval.intervals() {
                    mine.insert(start, end);
                }
            } else if part.is_empty() {
                return Err(invalid("GTID set", text));
            } else {
                origin = format!("{uuid}:{}", part.to_ascii_lowercase());
            }
        }
    }
    Ok(set)
}

/// Writes a set as MySQL does.
pub fn format_gtid_set(set: &TransactionSet) -> String {
    let mut out = String::new();
    for (origin, intervals) in set.0.iter().filter(|(_, i)| !i.is_empty()) {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(origin);
        for &(start, end) in intervals.intervals() {
            let last = end.saturating_sub(1);
            match last == start {
                true => out.push_str(&format!(":{start}")),
                false => out.push_str(&format!(":{start}-{last}")),
            }
        }
    }
    out
}

/// Reads MariaDB's text of a GTID position: `domain-server-sequence, ...`. All of a domain up to the sequence is in the set.
///
/// # Errors
/// [`ErrorKind::Invalid`] holds the text that is not understood.
pub fn parse_mariadb_position(text: &str) -> Result<TransactionSet> {
    let mut set = TransactionSet::default();
    for gtid in text.split(',').map(str::trim).filter(|g| !g.is_empty()) {
        let (domain, sequence) = parse_mariadb_gtid(gtid).ok_or_else(|| invalid("MariaDB GTID position", text))?;
        set.0.entry(domain.to_owned()).or_default().insert(1, sequence.saturating_add(1));
    }
    Ok(set)
}

/// Domain and sequence of `domain-server-sequence`.
pub(crate) fn parse_mariadb_gtid(gtid: &str) -> Option<(&str, u64)> {
    let mut parts = gtid.split('-');
    let (domain, server, sequence) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || domain.parse::<u32>().is_err() || server.parse::<u32>().is_err() {
        return None;
    }
    Some((domain, sequence.parse().ok()?))
}

/// A UUID as the server prints it.
pub(crate) fn uuid_text(uuid: &[u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (i, byte) in uuid.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    out
}

/// The number of a log file: what follows its last point.
pub(crate) fn file_number(file: &str) -> u64 {
    file.rsplit('.').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn invalid(what: &str, text: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{text:?} is not a {what}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_set_is_read_and_printed_as_the_server_prints_it() {
        for text in [
            "",
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5",
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7:9-10",
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,3e11fa47-71ca-11e1-9e33-c80aa9429562:backup:3,4e11fa47-71ca-11e1-9e33-c80aa9429562:1",
        ] {
            assert_eq!(format_gtid_set(&parse_gtid_set(text).unwrap()), text);
        }
    }

    #[test]
    fn tags_in_one_group_and_line_breaks_are_understood() {
        let set =
            parse_gtid_set("3E11FA47-71CA-11E1-9E33-C80AA9429562:1-3:tag:4-5,\n4e11fa47-71ca-11e1-9e33-c80aa9429562:9").unwrap();
        assert!(set.contains_number("3e11fa47-71ca-11e1-9e33-c80aa9429562", 3));
        assert!(set.contains_number("3e11fa47-71ca-11e1-9e33-c80aa9429562:tag", 4));
        assert!(!set.contains_number("3e11fa47-71ca-11e1-9e33-c80aa9429562", 4));
        assert!(set.contains_number("4e11fa47-71ca-11e1-9e33-c80aa9429562", 9));
    }

    #[test]
    fn nonsense_is_refused_with_its_text() {
        for text in ["u:5-3", "u:0", "u::", "u:1-x"] {
            assert!(parse_gtid_set(text).unwrap_err().to_string().contains(text));
        }
        for text in ["0-1", "0-1-2-3", "x-1-2", "0-1-"] {
            assert!(parse_mariadb_position(text).unwrap_err().to_string().contains(text));
        }
    }

    #[test]
    fn a_mariadb_position_holds_everything_up_to_it() {
        let set = parse_mariadb_position("0-223366-41,3-1-7").unwrap();
        assert!(set.contains_number("0", 41) && set.contains_number("0", 1) && !set.contains_number("0", 42));
        assert!(set.contains_number("3", 7));
    }

    #[test]
    fn files_are_counted_by_their_number() {
        assert_eq!(file_number("mysql-bin.000012"), 12);
        assert_eq!(file_number("odd"), 0);
    }

    #[test]
    fn a_uuid_is_printed_as_the_server_prints_it() {
        let uuid = [0x3e, 0x11, 0xfa, 0x47, 0x71, 0xca, 0x11, 0xe1, 0x9e, 0x33, 0xc8, 0x0a, 0xa9, 0x42, 0x95, 0x62];
        assert_eq!(uuid_text(&uuid), "3e11fa47-71ca-11e1-9e33-c80aa9429562");
    }
}
