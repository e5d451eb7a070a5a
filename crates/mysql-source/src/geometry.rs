//! Shapes: the server's internal form is the spatial reference system in four bytes, low first, then well-known binary.

use crate::decode_error::{DecodeError, DecodeResult};

/// Splits the internal form. A reference system of 0 is none.
#[inline]
pub(crate) fn split(internal: &[u8]) -> DecodeResult<(Option<i32>, &[u8])> {
    match internal.split_first_chunk::<4>() {
        Some((srid, wkb)) if !wkb.is_empty() => {
            let srid = u32::from_le_bytes(*srid);
            let srid = i32::try_from(srid).map_err(|_| DecodeError::invalid(format!("SRID {srid} of a shape is too large")))?;
            Ok(((srid != 0).then_some(srid), wkb))
        }
        _ => Err(DecodeError::invalid(format!("a shape has {} bytes: too few", internal.len()))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_reference_system_is_apart_from_the_shape() {
        assert_eq!(split(&[0xe6, 0x10, 0, 0, 1, 1]).unwrap(), (Some(4326), &[1u8, 1][..]));
        assert_eq!(split(&[0, 0, 0, 0, 1]).unwrap(), (None, &[1u8][..]));
        assert!(split(&[0, 0, 0, 0]).is_err());
        assert!(split(&[0, 0, 0, 0xff, 1]).is_err());
    }
}
