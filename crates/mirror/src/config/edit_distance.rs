/// The candidate whose name is nearest to `name`, if it is near enough to have been meant: at most a third of its letters differ.
pub(super) fn nearest<'a, T>(name: &str, candidates: impl Iterator<Item = &'a T>, text: impl Fn(&T) -> &str) -> Option<&'a T> {
    candidates
        .map(|c| (distance(name.as_bytes(), text(c).as_bytes()), c))
        .min_by_key(|(d, _)| *d)
        .filter(|(d, c)| *d <= (text(c).len().max(name.len()) / 3).max(1))
        .map(|(_, c)| c)
}

/// Letters to insert, delete, replace or swap with their neighbour.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            row[j + 1] = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                row[j + 1] = row[j + 1].min(before_last[j - 1] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_nonsense_is_not() {
        let names = ["table.include.list", "table.exclude.list", "topic.prefix"];
        assert_eq!(nearest("tabel.include.list", names.iter(), |n| n), Some(&"table.include.list"));
        assert_eq!(nearest("topic-prefix", names.iter(), |n| n), Some(&"topic.prefix"));
        assert_eq!(nearest("zzzzzzz", names.iter(), |n| n), None);
    }
}
