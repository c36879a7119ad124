//! The graph that the benches use: layers of equal width whose edges cross.

/// Parents of each step beyond the first layer.
pub(crate) const PARENTS: u32 = 2;

/// The edges `(parent, child)` of `steps` steps in layers of `width`, at least 2. Each step has
/// [`PARENTS`] parents in the layer before its own.
pub(crate) fn edges(steps: u32, width: u32) -> Vec<(u32, u32)> {
    (width..steps).flat_map(|child| parents(child, width).map(|parent| (parent, child))).collect()
}

fn parents(child: u32, width: u32) -> [u32; PARENTS as usize] {
    let (layer, place) = (child / width - 1, child % width);
    let first = place * 7 % width;
    let second = (first + 1 + place % (width - 1)) % width;
    [layer * width + first, layer * width + second]
}

/// Sizes of tasks, in steps. Unoptimised builds, which only look whether the benches run, leave out
/// those that take long.
pub(crate) fn sizes() -> impl Iterator<Item = u32> {
    let most = if cfg!(debug_assertions) { 1_000 } else { 1_000_000 };
    [10, 1_000, 100_000, 1_000_000].into_iter().filter(move |steps| *steps <= most)
}
