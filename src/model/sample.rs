//! A sample that nobody can choose afterwards: the seed stands in the report, and everybody can choose the same again.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// `number` of these names: those with the smallest XXH3-64 under the seed, in that order.
pub fn pick<'a>(seed: u64, names: impl Iterator<Item = &'a str>, number: u32) -> Vec<&'a str> {
    let mut names: Vec<_> = names.map(|name| (xxh3_64_with_seed(name.as_bytes(), seed), name)).collect();
    names.sort_unstable();
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    names.into_iter().take(number).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_chooses_the_same_again_and_another_seed_others() {
        let names: Vec<String> = (0..100).map(|n| format!("monthly/{n}")).collect();
        let names = || names.iter().map(String::as_str);
        assert_eq!(pick(7, names(), 3), pick(7, names().rev(), 3));
        assert_ne!(pick(7, names(), 3), pick(8, names(), 3));
        assert_eq!(pick(7, names(), 1000).len(), 100);
        assert_eq!(pick(7, names(), 0), [""; 0]);
    }
}
