//! Shuffle sharding: each flow has a hand of queues of its own, so that one that floods its queues leaves others some
//! (`k8s.io/apiserver/pkg/util/shufflesharding`).

/// The number by which a flow of a schema gets its hand.
pub fn flow_hash(schema: &str, flow: &str) -> u64 {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(schema.as_bytes());
    context.update(&[0]);
    context.update(flow.as_bytes());
    let digest = context.finish();
    let first = digest.as_ref().first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(first)
}

/// `hand` different numbers below `deck`, which the hash chooses.
pub fn deal(mut hash: u64, deck: usize, hand: usize) -> Vec<usize> {
    let mut cards: Vec<usize> = Vec::with_capacity(hand);
    let mut sorted: Vec<usize> = Vec::with_capacity(hand);
    for dealt in 0..hand.min(deck) {
        let left = (deck - dealt) as u64;
        let mut card = (hash % left) as usize;
        hash /= left;
        // The card-th of those that are left.
        for other in &sorted {
            if card >= *other {
                card += 1;
            }
        }
        cards.push(card);
        sorted.insert(sorted.partition_point(|other| *other < card), card);
    }
    cards
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_cards_are_digits_of_the_hash() {
        assert_eq!(deal(0, 8, 3), [0, 1, 2]);
        assert_eq!(deal(3 + 8 * 3, 8, 2), [3, 4]);
        assert_eq!(deal(7, 2, 5).len(), 2);
    }

    proptest! {
        #[test]
        fn a_hand_has_different_queues(hash: u64, deck in 1usize..200, hand in 1usize..9) {
            let cards = deal(hash, deck, hand);
            let mut distinct = cards.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), hand.min(deck));
            prop_assert!(cards.iter().all(|card| *card < deck));
        }
    }
}
