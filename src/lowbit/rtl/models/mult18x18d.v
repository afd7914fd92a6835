// Simulation model of the ECP5 multiplier in the one configuration that lowbit names: signed, registers at both
// inputs and at the product, all clocked by CLK0; CE0 enables input A, CE1 input B and the product.
// Our own model of what the block is documented to do; the vendor's is not public.
module MULT18X18D #(
    parameter CLK0_DIV = "ENABLED", GSR = "ENABLED", SOURCEB_MODE = "B_SHIFT",
    parameter REG_INPUTA_CLK = "CLK0", REG_INPUTA_CE = "CE0", REG_INPUTB_CLK = "CLK0", REG_INPUTB_CE = "CE1",
    parameter REG_OUTPUT_CLK = "CLK0", REG_OUTPUT_CE = "CE1", REG_PIPELINE_CLK = "NONE"
) (
    input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
    input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
    input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, CE1,
    output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
    P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
  reg signed [17:0] a, b;
  reg signed [35:0] product;
  always @(posedge CLK0) begin
    if (CE0) a <= {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
    if (CE1) b <= {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
    if (CE1) product <= a * b;
  end
  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
    P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = product;
endmodule
