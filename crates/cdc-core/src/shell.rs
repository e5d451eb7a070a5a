/// A word of a command line as a message names it: in single quotes if a POSIX shell would take it apart.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_a_shell_would_take_apart_is_quoted() {
        for plain in ["shop.orders", "./shop.toml", "laden.größen"] {
            assert_eq!(shell_word(plain), plain);
        }
        assert_eq!(shell_word("my shop.it's"), r"'my shop.it'\''s'");
        assert_eq!(shell_word("$(reboot)"), "'$(reboot)'");
        assert_eq!(shell_word(""), "''");
    }
}
