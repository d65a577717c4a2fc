//! Published values for shapes that the contract hides.
