//! Which candidates become neighbours: those that no nearer neighbour leads to.

use common::Slot;

use crate::indexing::codes::Codes;

/// Of the neighbours of a vertex, at most one in so many is equal to it by its code: where hundreds are equal, they
/// would lead to nothing but each other.
const EQUALS_SHARE: usize = 4;

/// A candidate for a neighbour: its distance from the vertex, and its number.
pub(super) type Candidate = (u32, u32);

/// The rule by which neighbours are chosen (Subramanya et al., 2019): of the candidates, nearest first,
/// one is left out if a chosen one is nearer to it than the vertex is, by more than the spread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) degree: usize,
    /// Factor on distances between candidates, as these codes measure them.
    pub(super) spread: f32,
    /// Whether places that are left go to the nearest of those left out.
    pub(super) fills: bool,
}

impl Rule {
    /// The neighbours among candidates that are sorted, nearest first, without the vertex itself.
    pub(super) fn choose(self, codes: &Codes, candidates: &[Candidate], chosen: &mut Vec<u32>) {
        chosen.clear();
        let mut left_out: Vec<u32> = Vec::new();
        for (distance, candidate) in candidates {
            if chosen.len() == self.degree {
                return;
            }
            if *distance == 0 && chosen.len() >= self.degree / EQUALS_SHARE {
                left_out.push(*candidate);
                continue;
            }
            let code = codes.row(Slot(*candidate));
            let is_reached = chosen.iter().any(|neighbour| {
                let between = codes.distance(code, codes.row(Slot(*neighbour)));
                self.is_shorter(between, *distance)
            });
            if is_reached {
                left_out.push(*candidate);
            } else {
                chosen.push(*candidate);
            }
        }
        if self.fills {
            let free = self.degree - chosen.len();
            chosen.extend(left_out.into_iter().take(free));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rule of thumb")]
    fn is_shorter(self, between: u32, distance: u32) -> bool {
        self.spread * (between as f32) < distance as f32
    }
}
