//! Walking over tokens.

use super::lexer::{Kind, Token};
use crate::decode_error::{DecodeError, DecodeResult};

/// Reads tokens forward. A failed `accept` moves nothing.
#[derive(Debug, Clone)]
pub(crate) struct Parser<'t> {
    tokens: &'t [Token<'t>],
    at: usize,
}

impl<'t> Parser<'t> {
    pub(crate) fn new(tokens: &'t [Token<'t>]) -> Self {
        Self { tokens, at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<&'t Token<'t>> {
        self.tokens.get(self.at)
    }

    pub(crate) fn peek_after(&self, n: usize) -> Option<&'t Token<'t>> {
        self.tokens.get(self.at.saturating_add(n))
    }

    pub(crate) fn next(&mut self) -> Option<&'t Token<'t>> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    pub(crate) fn at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn go_back_to(&mut self, at: usize) {
        self.at = at;
    }

    /// True, and past it, if the next token is this keyword.
    pub(crate) fn accept(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_some_and(|t| t.is(keyword));
        self.at += usize::from(found);
        found
    }

    /// True, and past them, if the next tokens are these keywords.
    pub(crate) fn accept_all(&mut self, keywords: &[&str]) -> bool {
        let found = keywords.iter().enumerate().all(|(i, k)| self.peek_after(i).is_some_and(|t| t.is(k)));
        self.at += if found { keywords.len() } else { 0 };
        found
    }

    /// The one of these keywords that comes next; past it.
    pub(crate) fn accept_any(&mut self, keywords: &[&'static str]) -> Option<&'static str> {
        keywords.iter().copied().find(|k| self.accept(k))
    }

    pub(crate) fn accept_symbol(&mut self, symbol: char) -> bool {
        let found = self.peek().is_some_and(|t| t.is_symbol(symbol));
        self.at += usize::from(found);
        found
    }

    /// Past `SET STATEMENT variable = value, ... FOR` of MariaDB, if that comes next.
    pub(crate) fn skip_set_statement(&mut self) {
        if !self.accept_all(&["SET", "STATEMENT"]) {
            return;
        }
        while !self.at_end() && !self.accept("FOR") {
            // Functions have a FOR of their own: SUBSTRING(x FROM 1 FOR 2).
            if !matches!(self.accept_parentheses(), Ok(Some(_))) {
                self.next();
            }
        }
    }

    pub(crate) fn accept_text(&mut self) -> Option<&'t str> {
        self.accept_kind(Kind::Text)
    }

    pub(crate) fn accept_number(&mut self) -> Option<&'t str> {
        self.accept_kind(Kind::Number)
    }

    fn accept_kind(&mut self, kind: Kind) -> Option<&'t str> {
        let token = self.peek().filter(|t| t.kind == kind)?;
        self.at += 1;
        Some(&token.text)
    }

    /// A name, in quotes or not.
    pub(crate) fn name(&mut self) -> DecodeResult<String> {
        match self.peek().filter(|t| matches!(t.kind, Kind::Word | Kind::Quoted | Kind::Number)) {
            Some(token) => {
                self.at += 1;
                Ok(token.text.clone().into_owned())
            }
            None => Err(self.unexpected("a name")),
        }
    }

    pub(crate) fn symbol(&mut self, symbol: char) -> DecodeResult<()> {
        if self.accept_symbol(symbol) { Ok(()) } else { Err(self.unexpected(&format!("'{symbol}'"))) }
    }

    /// Past a balanced pair of parentheses, if the next token opens one; the tokens in it.
    pub(crate) fn accept_parentheses(&mut self) -> DecodeResult<Option<&'t [Token<'t>]>> {
        if !self.accept_symbol('(') {
            return Ok(None);
        }
        let start = self.at;
        let mut depth = 1usize;
        while let Some(token) = self.next() {
            if token.is_symbol('(') {
                depth += 1;
            } else if token.is_symbol(')') {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(self.tokens.get(start..self.at - 1).unwrap_or(&[])));
                }
            }
        }
        Err(self.unexpected("')'"))
    }

    /// Past everything up to a comma or closing parenthesis outside of parentheses, or the end.
    pub(crate) fn skip_clause(&mut self) -> DecodeResult<()> {
        while let Some(token) = self.peek() {
            if token.is_symbol(',') || token.is_symbol(')') {
                break;
            }
            if self.accept_parentheses()?.is_none() {
                self.at += 1;
            }
        }
        Ok(())
    }

    #[cold]
    pub(crate) fn unexpected(&self, wanted: &str) -> DecodeError {
        match self.peek() {
            Some(token) => DecodeError::invalid(format!("expected {wanted}, found '{}'", token.text)).at(token.start),
            None => DecodeError::invalid(format!("expected {wanted}, found the end of the statement")),
        }
    }
}
