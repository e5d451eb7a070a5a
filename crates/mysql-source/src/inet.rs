//! INET6: the text that MariaDB has for an address.
//!
//! It is older than RFC 5952 and differs from it: one group of zeros is left out, too, and an address whose first six groups alone are
//! zeros ends as one of IPv4 (`sql/sql_type_inet.cc`, `Inet6::to_string`).

use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Appends the text of an address.
pub(crate) fn print_v6(address: [u8; 16], out: &mut String) -> fmt::Result {
    let groups = Ipv6Addr::from(address).segments();
    let (gap, length) = longest_zeros(&groups);
    let is_v4 = gap == 0 && (length == 6 || (length == 5 && groups[5] == 0xffff));
    let mut at = 0;
    while let Some(group) = groups.get(at) {
        if length > 0 && at == gap {
            out.push_str(if at == 0 { "::" } else { ":" });
            at += length;
        } else if at == 6 && is_v4 {
            let [.., a, b, c, d] = address;
            return write!(out, "{}", Ipv4Addr::new(a, b, c, d));
        } else {
            at += 1;
            write!(out, "{group:x}{}", if at < groups.len() { ":" } else { "" })?;
        }
    }
    Ok(())
}

/// Where the longest run of zeros begins, the first of equal ones, and how many there are.
fn longest_zeros(groups: &[u16; 8]) -> (usize, usize) {
    let mut longest = (0, 0);
    let mut start = 0;
    for (at, group) in groups.iter().enumerate() {
        if *group != 0 {
            start = at + 1;
        } else if at + 1 - start > longest.1 {
            longest = (start, at + 1 - start);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn addresses_have_the_servers_text() {
        for (address, text) in [
            ("::", "::"),
            ("::1", "::1"),
            ("1::", "1::"),
            ("2001:db8::ff00:42:8329", "2001:db8::ff00:42:8329"),
            ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
            // As RFC 5952 does not write them.
            ("1:0:3:4:5:6:7:8", "1::3:4:5:6:7:8"),
            ("0:2:3:4:5:6:7:8", "::2:3:4:5:6:7:8"),
            ("1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7::"),
            ("1:0:3:0:5:0:7:8", "1::3:0:5:0:7:8"),
            ("::c000:201", "::192.0.2.1"),
            ("::c000:0", "::192.0.0.0"),
            ("::ffff:0:0", "::ffff:0.0.0.0"),
            ("::fffe:0:1", "::fffe:0:1"),
        ] {
            let mut out = String::new();
            print_v6(address.parse::<Ipv6Addr>().unwrap().octets(), &mut out).unwrap();
            assert_eq!(out, text, "{address}");
        }
    }
}
