//! A reader over bytes that cannot leave them.

use crate::decode_error::{DecodeError, DecodeResult};

/// Reads forward over bytes; every read past their end is an error with its offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    total: usize,
}

macro_rules! little_endian {
    ($name:ident, $type:ty, $bytes:literal) => {
        #[inline]
        pub(crate) fn $name(&mut self) -> DecodeResult<$type> {
            let bytes: [u8; $bytes] = self.array()?;
            let mut wide = [0u8; size_of::<$type>()];
            if let Some(low) = wide.first_chunk_mut::<$bytes>() {
                *low = bytes;
            }
            Ok(<$type>::from_le_bytes(wide))
        }
    };
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total: bytes.len() }
    }

    /// How many bytes were read.
    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.total.saturating_sub(self.rest.len())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// All that was not read yet; nothing is left.
    #[inline]
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    #[inline]
    pub(crate) fn take(&mut self, n: usize) -> DecodeResult<&'a [u8]> {
        match self.rest.split_at_checked(n) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.too_short(n)),
        }
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> DecodeResult<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.too_short(N)),
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> DecodeResult<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    little_endian!(u16, u16, 2);
    little_endian!(u24, u32, 3);
    little_endian!(u32, u32, 4);
    little_endian!(u48, u64, 6);
    little_endian!(u56, u64, 7);
    little_endian!(u64, u64, 8);

    /// A big-endian number of 1 to 8 bytes.
    #[inline]
    pub(crate) fn big_endian(&mut self, bytes: usize) -> DecodeResult<u64> {
        Ok(self.take(bytes)?.iter().fold(0u64, |n, &b| (n << 8) | u64::from(b)))
    }

    /// A little-endian number of 1 to 8 bytes.
    #[inline]
    pub(crate) fn little_endian(&mut self, bytes: usize) -> DecodeResult<u64> {
        Ok(self.take(bytes)?.iter().rev().fold(0u64, |n, &b| (n << 8) | u64::from(b)))
    }

    /// A length-encoded integer of the client protocol.
    pub(crate) fn length_encoded(&mut self) -> DecodeResult<u64> {
        match self.u8()? {
            n @ 0..=0xfa => Ok(u64::from(n)),
            0xfc => Ok(u64::from(self.u16()?)),
            0xfd => Ok(u64::from(self.u24()?)),
            0xfe => self.u64(),
            other => Err(DecodeError::invalid(format!("{other:#x} does not begin a length")).at(self.offset())),
        }
    }

    /// A length-encoded integer that counts things in these bytes.
    pub(crate) fn length(&mut self) -> DecodeResult<usize> {
        let n = self.length_encoded()?;
        usize::try_from(n).map_err(|_| self.too_short(usize::MAX))
    }

    /// A string with a length byte before it and a zero byte after it.
    pub(crate) fn short_string_z(&mut self) -> DecodeResult<&'a str> {
        let n = usize::from(self.u8()?);
        let offset = self.offset();
        let text = self.take(n)?;
        self.u8()?;
        std::str::from_utf8(text).map_err(|_| DecodeError::invalid("a name is not UTF-8").at(offset))
    }

    #[cold]
    fn too_short(&self, wanted: usize) -> DecodeError {
        DecodeError::truncated(&format!("a field of {wanted} bytes of which {} are left", self.rest.len()), self.offset())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;
    use crate::decode_error::DecodeErrorKind;

    #[test]
    fn reading_past_the_end_says_where_it_was() {
        let mut c = Cursor::new(&[1, 2, 3]);
        assert_eq!(c.u16().unwrap(), 0x0201);
        let e = c.u32().unwrap_err();
        assert_eq!((e.kind(), e.offset()), (DecodeErrorKind::Truncated, Some(2)));
        assert_eq!(c.u8().unwrap(), 3);
    }

    #[test]
    fn lengths_have_four_widths() {
        let mut c = Cursor::new(&[0xfa, 0xfc, 1, 2, 0xfd, 1, 2, 3, 0xfe, 1, 0, 0, 0, 0, 0, 0, 0, 0xff]);
        assert_eq!(c.length().unwrap(), 0xfa);
        assert_eq!(c.length().unwrap(), 0x0201);
        assert_eq!(c.length().unwrap(), 0x030201);
        assert_eq!(c.length().unwrap(), 1);
        assert_eq!(c.length().unwrap_err().kind(), DecodeErrorKind::InvalidValue);
    }
}
