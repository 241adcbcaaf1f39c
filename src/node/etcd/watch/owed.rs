//! A write that is owed until it is made.

/// How often is tried: for an hour of looks. The next life of the member begins anew.
const TRIES_MAX: usize = 360;

/// What is left of the tries.
#[derive(Debug)]
pub(super) struct Owed {
    tries: usize,
}

impl Owed {
    pub(super) fn new() -> Self {
        Self { tries: TRIES_MAX }
    }

    /// Whether it is to be tried now.
    pub(super) fn is_due(&self) -> bool {
        self.tries > 0
    }

    /// It was tried.
    pub(super) fn note(&mut self, is_made: bool) {
        self.tries = if is_made { 0 } else { self.tries.saturating_sub(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often is tried where it succeeds at a try, if ever.
    fn tries(succeeds_at: usize) -> usize {
        let mut owed = Owed::new();
        let looks = (1..2 * TRIES_MAX).take_while(|look| {
            let is_due = owed.is_due();
            owed.note(*look == succeeds_at);
            is_due
        });
        looks.count()
    }

    #[test]
    fn a_write_is_tried_until_it_is_made_and_not_for_ever() {
        for succeeds_at in [1, 2, 17, TRIES_MAX] {
            assert_eq!(tries(succeeds_at), succeeds_at);
        }
        assert_eq!(tries(usize::MAX), TRIES_MAX);
    }
}
