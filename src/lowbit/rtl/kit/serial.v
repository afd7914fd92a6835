// Pictures come as bytes over a serial line (8N1), and every picture's class goes back as a byte, which `seen`
// keeps. The top of a board is around it.
module @TOP@_serial #(
    parameter BIT = 217  // clocks of a bit
) (
    input clock,
    input reset_n,
    input from_computer,
    output to_computer,
    output reg [7:0] seen = 0
);
  // Bytes in: the middle of each bit is sampled.
  reg [2:0] line = 3'b111;
  reg [15:0] in_wait = 0;
  reg [3:0] in_bit = 0;
  reg [7:0] in_byte = 0;
  reg in_valid = 0;
  wire in_ready;
  always @(posedge clock) begin
    line <= {line[1:0], from_computer};
    if (in_valid && in_ready) in_valid <= 0;
    if (in_bit == 0) begin
      if (!line[2]) begin
        in_bit <= 10;
        in_wait <= BIT / 2;
      end
    end else if (in_wait != 0) in_wait <= in_wait - 1;
    else begin
      in_wait <= BIT - 1;
      in_bit <= in_bit - 1;
      if (in_bit != 10 && in_bit != 1) in_byte <= {line[2], in_byte[7:1]};
      if (in_bit == 1) in_valid <= 1;
    end
  end

  reg [31:0] at = 0;
  wire last = at == @BYTES@ - 1;
  always @(posedge clock)
    if (!reset_n) at <= 0;
    else if (in_valid && in_ready) at <= last ? 0 : at + 1;

  wire [@WIDTH@ - 1:0] result;
  wire out_valid, out_last;
  reg [9:0] out_bits = 10'b1111111111;
  reg [3:0] out_bit = 0;
  reg [15:0] out_wait = 0;
  wire out_ready = out_bit == 0;

  @TOP@ engine (
    .ap_clk(clock),
    .ap_rst_n(reset_n),
    .s_axis_0_tdata(in_byte),
    .s_axis_0_tvalid(in_valid),
    .s_axis_0_tlast(last),
    .s_axis_0_tready(in_ready),
    .m_axis_0_tdata(result),
    .m_axis_0_tvalid(out_valid),
    .m_axis_0_tlast(out_last),
    .m_axis_0_tready(out_ready)@IDLE@
  );

  // The class, which comes with TLAST, goes out; the sums before it do not.
  assign to_computer = out_bits[0];
  always @(posedge clock)
    if (out_bit == 0) begin
      if (out_valid && out_last) begin
        out_bits <= {1'b1, result[7:0], 1'b0};
        out_bit <= 10;
        out_wait <= BIT - 1;
        seen <= result[7:0];
      end
    end else if (out_wait != 0) out_wait <= out_wait - 1;
    else begin
      out_wait <= BIT - 1;
      out_bits <= {1'b1, out_bits[9:1]};
      out_bit <= out_bit - 1;
    end
endmodule
