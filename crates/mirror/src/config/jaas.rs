//! `sasl.jaas.config`: one login module with its options, as Kafka's clients read it.

use std::collections::BTreeMap;
use std::fmt;

/// A login module and its options. `Debug` hides the values.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct LoginModule {
    /// The class, with its package.
    pub(super) class: String,
    pub(super) options: BTreeMap<String, String>,
}

impl fmt::Debug for LoginModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginModule").field("class", &self.class).field("options", &self.options.keys()).finish()
    }
}

impl LoginModule {
    /// Reads `Class flag option="value" ...;`.
    ///
    /// Rules: `org.apache.kafka.common.security.JaasConfig`, which reads with Java's `StreamTokenizer`; words may have more letters here.
    ///
    /// # Errors
    /// What is wrong, without the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = tokens(text)?.into_iter().peekable();
        let class = match tokens.next() {
            Some(Token::Word(class)) => class,
            _ => return Err("it does not begin with the class of a login module".to_owned()),
        };
        match tokens.next() {
            Some(Token::Word(flag))
                if ["required", "requisite", "sufficient", "optional"].iter().any(|f| f.eq_ignore_ascii_case(&flag)) => {}
            _ => return Err("behind the class there must be required (or requisite, sufficient, optional)".to_owned()),
        }
        let mut options = BTreeMap::new();
        loop {
            match tokens.next() {
                Some(Token::Sign(';')) => break,
                Some(Token::Word(name) | Token::Quoted(name)) => {
                    let value = match (tokens.next(), tokens.next()) {
                        (Some(Token::Sign('=')), Some(Token::Word(value) | Token::Quoted(value))) => value,
                        _ => return Err(format!("the option number {} is not name=\"value\"", options.len() + 1)),
                    };
                    if options.insert(name, value).is_some() {
                        return Err("an option is there twice".to_owned());
                    }
                }
                Some(Token::Sign(_)) => return Err(format!("the option number {} is not name=\"value\"", options.len() + 1)),
                None => return Err("it does not end with a semicolon".to_owned()),
            }
        }
        match tokens.next() {
            None => Ok(Self { class, options }),
            Some(_) => Err("there is more than one login module".to_owned()),
        }
    }

    /// The class without its package.
    pub(super) fn name(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or_default()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    /// `=` or `;`.
    Sign(char),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            c if c.is_whitespace() => {}
            '=' | ';' => out.push(Token::Sign(c)),
            '"' | '\'' => out.push(Token::Quoted(quoted(c, &mut rest)?)),
            '/' if rest.peek() == Some(&'/') => while rest.next_if(|c| *c != '\n').is_some() {},
            '/' if rest.peek() == Some(&'*') => {
                rest.next();
                let mut last = ' ';
                loop {
                    match rest.next() {
                        Some('/') if last == '*' => break,
                        Some(c) => last = c,
                        None => return Err("a comment does not end".to_owned()),
                    }
                }
            }
            c => {
                let mut word = String::from(c);
                while let Some(c) = rest.next_if(|c| !c.is_whitespace() && !matches!(c, '=' | ';' | '"' | '\'')) {
                    word.push(c);
                }
                out.push(Token::Word(word));
            }
        }
    }
    Ok(out)
}

/// The text up to the closing quote. Escapes are those of C, octal numbers included.
fn quoted(quote: char, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    const OPEN: &str = "a quoted value does not end on its line";
    let mut out = String::new();
    loop {
        let c = match rest.next() {
            Some(c) if c == quote => return Ok(out),
            Some('\\') => match rest.next().ok_or(OPEN)? {
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                digit @ '0'..='7' => {
                    let mut code = digit.to_digit(8).unwrap_or_default();
                    // Three digits up to \377, otherwise two.
                    let most = if digit <= '3' { 2 } else { 1 };
                    for _ in 0..most {
                        match rest.next_if(|c| c.is_digit(8)).and_then(|c| c.to_digit(8)) {
                            Some(next) => code = code * 8 + next,
                            None => break,
                        }
                    }
                    char::from_u32(code).unwrap_or('\0')
                }
                other => other,
            },
            Some('\n' | '\r') | None => return Err(OPEN.to_owned()),
            Some(c) => c,
        };
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

    fn options(text: &str) -> Vec<(String, String)> {
        LoginModule::parse(text).unwrap().options.into_iter().collect()
    }

    #[test]
    fn a_module_has_a_class_and_options() {
        let module = LoginModule::parse(&format!("{PLAIN} required username=\"alice\" password='it is';")).unwrap();
        assert_eq!((module.class.as_str(), module.name()), (PLAIN, "PlainLoginModule"));
        assert_eq!(module.options["username"], "alice");
        assert_eq!(module.options["password"], "it is");
        let spread = format!("\n  {PLAIN}\n REQUIRED // a comment\n\tusername = alice /* =; */\n password=\"s;=e\" ; \n");
        assert_eq!(options(&spread), [("password".into(), "s;=e".into()), ("username".into(), "alice".into())]);
        assert_eq!(options("a.B optional;"), []);
    }

    #[test]
    fn a_value_in_quotes_has_the_escapes_of_java() {
        for (written, read) in [
            (r#""a\"b\\c\'d""#, "a\"b\\c'd"),
            (r#""tab\tnew\nline""#, "tab\tnew\nline"),
            (r#""\101\12x\0478""#, "A\nx'8"),
            (r#""\501\3778""#, "(1\u{ff}8"),
            (r#"'say "hi"'"#, "say \"hi\""),
            ("\"pä$$ w€rd\"", "pä$$ w€rd"),
            ("plain-W0rd_$", "plain-W0rd_$"),
        ] {
            assert_eq!(options(&format!("x.Y required p={written};"))[0].1, read, "{written}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_without_its_text() {
        for (text, said) in [
            ("", "it does not begin with the class"),
            ("x.Y", "behind the class there must be required"),
            ("x.Y username=\"s3cret\";", "behind the class there must be required"),
            ("x.Y required username=\"s3cret\"", "it does not end with a semicolon"),
            ("x.Y required username=\"s3cret;", "a quoted value does not end"),
            ("x.Y required username \"s3cret\";", "the option number 1 is not name=\"value\""),
            ("x.Y required a=\"1\" =s3cret;", "the option number 2 is not name=\"value\""),
            ("x.Y required a=\"s3cret\" a=\"2\";", "an option is there twice"),
            ("x.Y required a=\"s3cret\"; x.Z required;", "there is more than one"),
        ] {
            let e = LoginModule::parse(text).unwrap_err();
            assert!(e.contains(said) && !e.contains("s3cret"), "{text}: {e}");
        }
    }

    #[test]
    fn its_values_are_never_shown() {
        let module = LoginModule::parse("x.Y required password=\"s3cret\";").unwrap();
        let shown = format!("{module:?}");
        assert!(shown.contains("password") && !shown.contains("s3cret"), "{shown}");
    }
}
