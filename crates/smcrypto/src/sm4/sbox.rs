//! The S-box of SM4 as a circuit of 116 gates.
//!
//! SM4 inverts in GF(2^8) like AES does, only in another representation of the field and between other affine maps. So
//! the inversion is the one that Boyar and Peralta found for AES ("A depth-16 circuit for the AES S-box", 2011), and
//! the linear layers above and below it take SM4's bits to AES's field and back. Of the isomorphisms, each times any
//! factor, the one with the fewest gates was taken (Paar's greedy search).
//!
//! Both affine maps of the standard add a constant. The circuit leaves them out; [`super::slice`] moves them into the
//! round keys, where they cost nothing.

use core::ops::{BitAnd, BitXor};

/// What is added to a byte before the circuit.
pub(super) const BEFORE: u8 = 0x75;

/// What is added to a byte after the circuit.
pub(super) const AFTER: u8 = 0xd3;

/// The S-box without its constants: bit `b` of every byte is in `planes[b]`, the lowest first.
#[inline(always)]
pub(super) fn sbox<T>(planes: [T; 8]) -> [T; 8]
where
    T: Copy + BitAnd<Output = T> + BitXor<Output = T>,
{
    let sums = enter(planes);
    let inverse = invert(planes, sums);
    leave(planes, sums, inverse)
}

/// The linear layer above the inversion.
#[inline(always)]
#[rustfmt::skip]
fn enter<T: Copy + BitXor<Output = T>>(planes: [T; 8]) -> [T; 24] {
    let [x0, x1, x2, x3, x4, x5, x6, x7] = planes;
    let a0 = x3 ^ x5;
    let a1 = x4 ^ x7;
    let a2 = x0 ^ a1;
    let a3 = x2 ^ x6;
    let a4 = x1 ^ x5;
    let a5 = x0 ^ a0;
    let a6 = x2 ^ a2;
    let a7 = x7 ^ a0;
    let a8 = x2 ^ x4;
    let a9 = x1 ^ a3;
    let a10 = x3 ^ a2;
    let a11 = x6 ^ a0;
    let a12 = x1 ^ a2;
    let a13 = a3 ^ a5;
    let a14 = x3 ^ a8;
    let a15 = a1 ^ a4;
    let a16 = a5 ^ a8;
    let a17 = a4 ^ a6;
    let a18 = x5 ^ a1;
    let a19 = a9 ^ a10;
    let a20 = x2 ^ a7;
    let a21 = x1 ^ a14;
    let a22 = x7 ^ a5;
    let a23 = x0 ^ a4;
    [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21, a22, a23]
}

/// The inversion, as far as the products of the last layer need it.
#[inline(always)]
#[allow(clippy::similar_names, reason = "wires of a circuit")]
#[rustfmt::skip]
fn invert<T>(planes: [T; 8], sums: [T; 24]) -> [T; 9]
where
    T: Copy + BitAnd<Output = T> + BitXor<Output = T>,
{
    let [x0, x1, _, _, _, _, _, _] = planes;
    let [a0, _, _, a3, a4, a5, a6, a7, _, a9, a10, a11, a12, a13, _, a15, a16, a17, a18, a19, a20, a21, a22, a23] = sums;
    let t2 = a3 & a7;
    let t3 = a9 & a6;
    let t4 = t3 ^ t2;
    let t5 = x1 & a16;
    let t6 = t5 ^ t2;
    let t7 = a5 & x0;
    let t8 = a10 & a4;
    let t9 = t8 ^ t7;
    let t10 = a18 & a23;
    let t11 = t10 ^ t7;
    let t12 = a15 & a21;
    let t13 = a13 & a22;
    let t14 = t13 ^ t12;
    let t15 = a19 & a17;
    let t16 = t15 ^ t12;
    let t17 = t4 ^ t14;
    let t18 = t6 ^ t16;
    let t19 = t9 ^ t14;
    let t20 = t11 ^ t16;
    let t21 = t17 ^ a20;
    let t22 = t18 ^ a11;
    let t23 = t19 ^ a0;
    let t24 = t20 ^ a12;
    let t25 = t21 ^ t22;
    let t26 = t21 & t23;
    let t27 = t24 ^ t26;
    let t28 = t25 & t27;
    let t29 = t28 ^ t22;
    let t30 = t23 ^ t24;
    let t31 = t22 ^ t26;
    let t32 = t31 & t30;
    let t33 = t32 ^ t24;
    let t34 = t23 ^ t33;
    let t35 = t27 ^ t33;
    let t36 = t24 & t35;
    let t37 = t36 ^ t34;
    let t38 = t27 ^ t36;
    let t39 = t29 & t38;
    let t40 = t25 ^ t39;
    let t41 = t40 ^ t37;
    let t42 = t29 ^ t33;
    let t43 = t29 ^ t40;
    let t44 = t33 ^ t37;
    let t45 = t42 ^ t41;
    [t29, t33, t37, t40, t41, t42, t43, t44, t45]
}

/// The last products, and the linear layer below the inversion.
#[inline(always)]
#[rustfmt::skip]
fn leave<T>(planes: [T; 8], sums: [T; 24], inverse: [T; 9]) -> [T; 8]
where
    T: Copy + BitAnd<Output = T> + BitXor<Output = T>,
{
    let [x0, x1, _, _, _, _, _, _] = planes;
    let [_, _, _, a3, a4, a5, a6, a7, _, a9, a10, _, _, a13, _, a15, a16, a17, a18, a19, _, a21, a22, a23] = sums;
    let [t29, t33, t37, t40, t41, t42, t43, t44, t45] = inverse;
    let z0 = t44 & a7;
    let z1 = t37 & a6;
    let z2 = t33 & a16;
    let z3 = t43 & x0;
    let z4 = t40 & a4;
    let z5 = t29 & a23;
    let z6 = t42 & a21;
    let z7 = t45 & a22;
    let z8 = t41 & a17;
    let z9 = t44 & a3;
    let z10 = t37 & a9;
    let z11 = t33 & x1;
    let z12 = t43 & a5;
    let z13 = t40 & a10;
    let z14 = t29 & a18;
    let z15 = t42 & a15;
    let z16 = t45 & a13;
    let z17 = t41 & a19;
    let b0 = z14 ^ z17;
    let b1 = z9 ^ z12;
    let b2 = z10 ^ b1;
    let b3 = z1 ^ b0;
    let b4 = z3 ^ z4;
    let b5 = z0 ^ b4;
    let b6 = z8 ^ z13;
    let b7 = z12 ^ z15;
    let b8 = b3 ^ b7;
    let b9 = z13 ^ z16;
    let b10 = b2 ^ b5;
    let b11 = z6 ^ b2;
    let b12 = z16 ^ b3;
    let b13 = z2 ^ z7;
    let b14 = z7 ^ b11;
    let b15 = z0 ^ b12;
    let b16 = z17 ^ b1;
    let b17 = z8 ^ b13;
    let b18 = z3 ^ b11;
    let b19 = z5 ^ b18;
    let b20 = b6 ^ b19;
    let b21 = b0 ^ b9;
    let b22 = z11 ^ b9;
    let b23 = b6 ^ b10;
    let b24 = b5 ^ b8;
    let b25 = b10 ^ b12;
    let b26 = b16 ^ b22;
    let b27 = b8 ^ b17;
    let b28 = b13 ^ b23;
    let b29 = b14 ^ b15;
    [b27, b25, b28, b21, b24, b20, b29, b26]
}
