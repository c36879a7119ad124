//! When the next attempt may begin.

use std::time::Duration;

use crate::decision::Timestamp;
use crate::ids::StepId;
use crate::retry_policy::{Backoff, RetryPolicy};

/// The longest delay that a handler can ask for: one day.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The seed of the jitter of one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter(pub u64);

impl Jitter {
    /// The jitter of what is decided at that time: what is decided a microsecond later, or of another step,
    /// has another one.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self(now.timestamp_micros().cast_unsigned())
    }

    /// A number in `0.0..1.0` that depends on the seed, the step and the attempt alone.
    /// Source: the finaliser of `SplitMix64`, Steele, Lea, Flood, "Fast Splittable Pseudorandom
    /// Number Generators", OOPSLA 2014.
    #[allow(clippy::cast_precision_loss, clippy::cast_sign_loss)]
    pub(super) fn unit(self, step: StepId, attempt: u32) -> f64 {
        let mut z = self.0 ^ (step.0 as u64).rotate_left(24) ^ u64::from(attempt);
        z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Delay after the `failures`-th failed attempt (from 1), in whole microseconds.
///
/// `exponential`: `base * 2^(failures - 1)`; `linear`: `base * failures`; `fixed`: `base`; `fibonacci`: `base` times
/// 1, 1, 2, 3, 5 and so on; `list`: the one of that number, else the last one; then spread evenly over
/// `1 - jitter ..= 1 + jitter` by `unit` in `0.0..1.0`, and capped. A delay that the handler asks for, in seconds, wins
/// over the policy, up to [`MAX_RETRY_AFTER`], unspread.
/// Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
pub(crate) fn delay(
    policy: &RetryPolicy,
    failures: u32,
    asked: Option<f64>,
    unit: f64,
) -> Duration {
    if let Some(seconds) = asked {
        return seconds_up_to(seconds, MAX_RETRY_AFTER);
    }
    let base = policy.base.as_secs_f64();
    let seconds = match &policy.backoff {
        Backoff::Exponential => base * 2f64.powi(i32::try_from(failures - 1).unwrap_or(i32::MAX)),
        Backoff::Linear => base * f64::from(failures),
        Backoff::Fixed => base,
        Backoff::Fibonacci => base * fibonacci(failures),
        Backoff::List(delays) => listed(delays, failures).as_secs_f64(),
    };
    let spread = 1.0 + policy.jitter * (2.0 * unit - 1.0);
    seconds_up_to(seconds * spread, policy.cap)
}

/// The `n`-th number of Fibonacci, from 1; beyond the hundredth, that one: a nanosecond times it is longer than
/// any delay.
fn fibonacci(n: u32) -> f64 {
    (1..n.min(100)).fold((1.0, 1.0), |(one, next), _| (next, one + next)).0
}

fn listed(delays: &[Duration], failures: u32) -> Duration {
    let number = usize::try_from(failures - 1).unwrap_or(usize::MAX);
    delays.get(number).or(delays.last()).copied().unwrap_or_default()
}

fn seconds_up_to(seconds: f64, cap: Duration) -> Duration {
    let capped = seconds.clamp(0.0, cap.as_secs_f64());
    let whole = Duration::try_from_secs_f64(capped).unwrap_or(cap);
    Duration::from_micros(u64::try_from(whole.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Delays as templates may have them: from a nanosecond to 30 days, and in lists from 0 to a day.
    fn any_policy() -> impl Strategy<Value = RetryPolicy> {
        let list = prop::collection::vec(0..=86_400_000_000_000_u64, 1..=100);
        let list = list.prop_map(|list| list.into_iter().map(Duration::from_nanos).collect());
        let backoff = prop_oneof![
            Just(Backoff::Exponential),
            Just(Backoff::Linear),
            Just(Backoff::Fixed),
            Just(Backoff::Fibonacci),
            list.prop_map(Backoff::List),
        ];
        let (base, cap) = (1..=2_592_000_000_000_000_u64, 1..=2_592_000_000_000_000_u64);
        (backoff, base, cap, 0.0..=1.0_f64).prop_map(|(backoff, base, cap, jitter)| RetryPolicy {
            backoff,
            base: Duration::from_nanos(base.min(cap)),
            cap: Duration::from_nanos(cap),
            jitter,
            ..RetryPolicy::default()
        })
    }

    fn any_count() -> impl Strategy<Value = u32> {
        prop_oneof![1..200_u32, 1..=u32::MAX]
    }

    proptest! {
        /// A duration is never negative; what could be is a number of seconds before it becomes one.
        #[test]
        fn no_delay_is_longer_than_the_cap(policy in any_policy(), failures in any_count(), unit in 0.0..1.0_f64) {
            prop_assert!(delay(&policy, failures, None, unit) <= policy.cap, "{policy:?}");
        }

        #[test]
        fn jitter_stays_within_its_share(policy in any_policy(), failures in any_count(), unit in 0.0..1.0_f64) {
            let whole = delay(&RetryPolicy { jitter: 0.0, ..policy.clone() }, failures, None, 0.5);
            let least = whole.mul_f64(1.0 - policy.jitter);
            let spread = delay(&policy, failures, None, unit);
            prop_assert!(spread + Duration::from_micros(2) >= least, "{spread:?} of {whole:?}");
            if whole < policy.cap {
                let most = whole.mul_f64(1.0 + policy.jitter) + Duration::from_micros(2);
                prop_assert!(spread <= most, "{spread:?} of {whole:?}");
            }
        }

        /// Up to microseconds, which are cut off, and the 53 bits of what is added up.
        #[test]
        fn fibonacci_follows_its_recurrence(base in prop_oneof![1..10_u64, 1..=2_592_000_000_000_u64], failures in 3..200_u32) {
            let cap = Duration::from_secs(2_592_000);
            let base = Duration::from_nanos(base);
            let policy = RetryPolicy { base, cap, ..policy(Backoff::Fibonacci, 0.0) };
            let of = |failures| seconds(&policy, failures);
            prop_assert_eq!(of(1), of(2));
            let sum = (of(failures - 1) + of(failures - 2)).min(cap.as_secs_f64());
            prop_assert!((of(failures) - sum).abs() <= 3e-6 + sum * 1e-12, "{} and {sum}", of(failures));
        }

        #[test]
        fn a_list_gives_its_delays_in_order(list in prop::collection::vec(0..=86_400_000_000_u64, 1..=100), failures in any_count()) {
            let list: Vec<_> = list.into_iter().map(Duration::from_micros).collect();
            let cap = Duration::from_secs(2_592_000);
            let policy = RetryPolicy { cap, ..policy(Backoff::List(list.clone().into()), 0.0) };
            let expected = list[(failures as usize - 1).min(list.len() - 1)];
            let seen = delay(&policy, failures, None, 0.5);
            prop_assert!(expected.abs_diff(seen) <= Duration::from_micros(1), "{seen:?} for {expected:?}");
        }

        /// Without chance, delays of all kinds but lists never get shorter.
        #[test]
        fn delays_do_not_shrink(policy in any_policy(), failures in 1..1_000_u32) {
            let policy = RetryPolicy { jitter: 0.0, ..policy };
            prop_assume!(!matches!(policy.backoff, Backoff::List(_)));
            prop_assert!(delay(&policy, failures, None, 0.5) <= delay(&policy, failures + 1, None, 0.5));
        }

        #[test]
        fn what_a_handler_asks_for_is_between_nothing_and_a_day(policy in any_policy(), asked in any::<f64>()) {
            prop_assert!(delay(&policy, 1, Some(asked), 0.5) <= MAX_RETRY_AFTER);
        }
    }

    fn policy(backoff: Backoff, jitter: f64) -> RetryPolicy {
        RetryPolicy { backoff, jitter, ..RetryPolicy::default() }
    }

    fn seconds(policy: &RetryPolicy, failures: u32) -> f64 {
        delay(policy, failures, None, 0.5).as_secs_f64()
    }

    #[test]
    fn each_backoff_grows_by_its_formula_up_to_the_cap() {
        let exponential = policy(Backoff::Exponential, 0.0);
        let linear = policy(Backoff::Linear, 0.0);
        let fixed = policy(Backoff::Fixed, 0.0);
        for (failures, e, l, f) in [(1, 1.0, 1.0, 1.0), (2, 2.0, 2.0, 1.0), (5, 16.0, 5.0, 1.0)] {
            assert_eq!(seconds(&exponential, failures), e);
            assert_eq!(seconds(&linear, failures), l);
            assert_eq!(seconds(&fixed, failures), f);
        }
        assert_eq!(seconds(&exponential, 1000), 300.0);
        assert_eq!(seconds(&exponential, u32::MAX), 300.0);
    }

    #[test]
    fn fibonacci_adds_up_the_two_delays_before() {
        let policy = policy(Backoff::Fibonacci, 0.0);
        let delays: Vec<_> = (1..=8).map(|failures| seconds(&policy, failures)).collect();
        assert_eq!(delays, [1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0]);
        assert_eq!(seconds(&policy, 14), 300.0);
        assert_eq!(seconds(&policy, u32::MAX), 300.0);
    }

    #[test]
    fn the_last_delay_of_a_list_repeats() {
        let list = [1, 5, 0, 30].map(Duration::from_secs);
        let policy = policy(Backoff::List(list.into()), 0.0);
        let delays: Vec<_> = (1..=6).map(|failures| seconds(&policy, failures)).collect();
        assert_eq!(delays, [1.0, 5.0, 0.0, 30.0, 30.0, 30.0]);
        assert_eq!(seconds(&policy, u32::MAX), 30.0);
        let capped = RetryPolicy { cap: Duration::from_secs(4), ..policy };
        assert_eq!(seconds(&capped, 2), 4.0);
    }

    #[test]
    fn jitter_spreads_both_ways_within_its_share() {
        let policy = policy(Backoff::Fixed, 0.1);
        assert_eq!(delay(&policy, 1, None, 0.0), Duration::from_millis(900));
        assert_eq!(delay(&policy, 1, None, 0.5), Duration::from_secs(1));
        for attempt in 1..2000 {
            let unit = Jitter(7).unit(StepId(99), attempt);
            let at = delay(&policy, 1, None, unit);
            assert!((Duration::from_millis(900)..=Duration::from_millis(1100)).contains(&at));
        }
    }

    #[test]
    fn a_unit_is_spread_over_the_whole_range() {
        let units: Vec<_> = (0..1000).map(|n| Jitter(3).unit(StepId(n), 1)).collect();
        let mean = units.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "mean {mean}");
        assert!(units.iter().any(|u| *u < 0.01) && units.iter().any(|u| *u > 0.99));
    }

    #[test]
    fn what_the_handler_asks_for_wins_up_to_a_day() {
        let policy = policy(Backoff::Exponential, 0.5);
        assert_eq!(delay(&policy, 3, Some(17.5), 0.9), Duration::from_millis(17_500));
        for (asked, waits) in [(86_399.0, 86_399), (86_400.0, 86_400), (86_401.0, 86_400)] {
            assert_eq!(delay(&policy, 3, Some(asked), 0.9), Duration::from_secs(waits));
        }
        assert_eq!(delay(&policy, 3, Some(1e12), 0.9), MAX_RETRY_AFTER);
        assert_eq!(delay(&policy, 3, Some(-4.0), 0.9), Duration::ZERO);
        assert_eq!(delay(&policy, 3, Some(f64::NAN), 0.9), MAX_RETRY_AFTER);
    }
}
