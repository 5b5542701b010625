//! How an object is cut into the parts of a multipart upload, from its known length.

use super::units::ByteSize;

const MIB: u64 = 1 << 20;
/// An object up to this length is sent whole.
pub const WHOLE: u64 = 16 * MIB;
/// The usual part: large enough that a request's overhead does not count, small enough that one is quickly sent again.
const USUAL_PART: u64 = 16 * MIB;
/// S3 takes 10 000 parts; some are left for what nobody thought of.
const MOST_PARTS: u64 = 9_000;
/// S3's longest part.
const LONGEST_PART: u64 = 5 << 30;
/// S3's longest object.
const LONGEST_OBJECT: u64 = 5 << 40;

/// The parts of one object: all of one length but the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartPlan {
    total: u64,
    part: u64,
}

/// One part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 1.
    pub number: i32,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
}

/// An object that no store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} is more than an object may hold ({})", ByteSize(*.0), ByteSize(LONGEST_OBJECT))]
pub struct TooLong(pub u64);

impl PartPlan {
    /// Plans an object of this length.
    ///
    /// # Errors
    /// When no store takes so long an object.
    pub fn of(total: u64) -> Result<Self, TooLong> {
        if total > LONGEST_OBJECT {
            return Err(TooLong(total));
        }
        // Whole MiB: servers and people like round numbers.
        let part = USUAL_PART.max(total.div_ceil(MOST_PARTS).next_multiple_of(MIB));
        Ok(Self { total, part })
    }

    /// The plan that an earlier upload had, by its part length; `None` where that cannot be one.
    pub fn with_part(total: u64, part: u64) -> Option<Self> {
        let fits = (1..=LONGEST_PART).contains(&part) && total.div_ceil(part) <= 10_000;
        fits.then_some(Self { total, part })
    }

    /// The length of every part but the last.
    pub fn part_bytes(&self) -> u64 {
        self.part
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.total.div_ceil(self.part).max(1)
    }

    /// All of them, in order.
    pub fn parts(self) -> impl Iterator<Item = Part> + Send {
        (1_i32..).zip(0..self.count()).map(move |(number, index)| {
            let offset = index * self.part;
            Part { number, offset, bytes: self.part.min(self.total - offset) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan covers the object without gap or overlap, within S3's limits.
    fn sound(total: u64) -> PartPlan {
        let plan = PartPlan::of(total).unwrap();
        let parts: Vec<Part> = plan.parts().collect();
        assert_eq!(parts.len() as u64, plan.count());
        assert!(parts.len() <= 10_000 && plan.part_bytes() <= LONGEST_PART);
        let mut at = 0;
        for (number, part) in (1..).zip(&parts) {
            assert_eq!((part.number, part.offset), (number, at));
            at += part.bytes;
            assert!(at == total || part.bytes == plan.part_bytes());
        }
        assert_eq!(at, total);
        plan
    }

    #[test]
    fn a_large_object_fits_into_the_parts_there_are() {
        let plan = sound(200_000_000_000);
        assert_eq!((plan.part_bytes(), plan.count()), (22 * MIB, 8670));
        let longest = sound(LONGEST_OBJECT);
        assert_eq!((longest.part_bytes(), longest.count()), (583 * MIB, 8993));
    }

    #[test]
    fn lengths_around_a_boundary_are_cut_right() {
        for total in [0, 1, WHOLE, WHOLE + 1, 2 * WHOLE - 1, 2 * WHOLE, 9_000 * USUAL_PART, 9_000 * USUAL_PART + 1] {
            sound(total);
        }
    }

    #[test]
    fn what_no_store_takes_is_refused() {
        assert_eq!(PartPlan::of(LONGEST_OBJECT + 1), Err(TooLong(LONGEST_OBJECT + 1)));
        assert_eq!(PartPlan::with_part(100, 0), None);
        assert_eq!(PartPlan::with_part(1 << 40, MIB), None);
    }

    proptest::proptest! {
        #[test]
        fn any_length_is_cut_right(total in 0..LONGEST_OBJECT) {
            sound(total);
        }
    }
}
