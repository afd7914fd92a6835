// Test bench of @TOP@, in plain Verilog: sends the pictures of vectors/pictures.hex and compares what comes out
// with vectors/results.hex, which the reference evaluator has computed. Any simulator takes it:
//
//     iverilog -o sim @TOP@_tb.v @TOP@.v @MODELS@&& vvp sim
//     vvp sim +gap=40 +stall=50     with gaps of the input and of the output, in percent of clocks
//     vvp sim +cut=50               with packets that end inside a picture before others, in percent
//     vvp sim +vcd                  writes @TOP@_tb.vcd
//
// The last line that it prints is PASS or FAIL.
`timescale 1ns/1ps

module @TOP@_tb;
  localparam PICTURES = @PICTURES@;  // each is a packet of its own, with TLAST
  localparam BYTES = @BYTES@;  // beats of a picture
  localparam BITS = @BITS@;  // of such a beat
  localparam BEATS = @BEATS@;  // of its results: @CLASSES@ sums, then the class
  localparam WIDTH = @WIDTH@;  // bits of such a beat
  localparam PATIENCE = @PATIENCE@;  // clocks

  reg [BITS - 1:0] pictures [0:PICTURES * BYTES - 1];
  reg [WIDTH - 1:0] results [0:PICTURES * BEATS - 1];

  reg clock = 0, reset_n = 0;
  reg [BITS - 1:0] in_data = 0;
  reg in_valid = 0, in_last = 0, out_ready = 0;
  wire in_ready, out_valid, out_last;
  wire [WIDTH - 1:0] out_data;

  integer sent = 0, taken = 0, wrong = 0, clocks = 0, gap = 0, stall = 0, cut = 0, seed = 1;
  integer piece = 0, piece_at = 0;  // beats of a cut packet, and how many of them went
  reg decided = 0;  // whether one comes before this picture

  always #5 clock = ~clock;

  @TOP@ engine (
    .ap_clk(clock),
    .ap_rst_n(reset_n),
    .s_axis_0_tdata(in_data),
    .s_axis_0_tvalid(in_valid),
    .s_axis_0_tlast(in_last),
    .s_axis_0_tready(in_ready),
    .m_axis_0_tdata(out_data),
    .m_axis_0_tvalid(out_valid),
    .m_axis_0_tlast(out_last),
    .m_axis_0_tready(out_ready)@IDLE@
  );

  initial begin
    $readmemh("vectors/pictures.hex", pictures);
    $readmemh("vectors/results.hex", results);
    if (!$value$plusargs("gap=%d", gap)) gap = 0;
    if (!$value$plusargs("stall=%d", stall)) stall = 0;
    if (!$value$plusargs("cut=%d", cut)) cut = 0;
    if ($test$plusargs("vcd")) begin
      $dumpfile("@TOP@_tb.vcd");
      $dumpvars(0, @TOP@_tb);
    end
    repeat (4) @(negedge clock);
    reset_n = 1;
  end

  // The next beat: of a picture, or of a piece of it that ends too early, before it.
  task offer;
    begin
      if (cut > 0 && BYTES > 1 && !decided && sent % BYTES == 0 && $unsigned($random(seed)) % 100 < cut)
        piece = 1 + $unsigned($random(seed)) % (BYTES - 1);
      decided = 1;
      in_valid <= 1;
      in_data <= pictures[sent + piece_at];
      in_last <= piece == 0 ? sent % BYTES == BYTES - 1 : piece_at == piece - 1;
    end
  endtask

  // Signals change at the falling edge, so that no race decides what the rising one sees.
  always @(negedge clock) if (reset_n) begin
    if (!in_valid && sent < PICTURES * BYTES && $unsigned($random(seed)) % 100 >= gap) begin
      offer;
    end
    out_ready <= $unsigned($random(seed)) % 100 >= stall;
  end

  always @(posedge clock) if (reset_n) begin
    clocks = clocks + 1;
    if (in_valid && in_ready) begin
      if (piece == 0) begin
        sent = sent + 1;
        decided = 0;
      end else begin
        piece_at = piece_at + 1;
        if (piece_at == piece) begin
          piece = 0;
          piece_at = 0;
        end
      end
      in_valid <= 0;
      if (gap == 0 && sent < PICTURES * BYTES) offer;
    end
    if (out_valid === 1'bx) begin
      $display("picture %0d: the design offers something unknown", taken / BEATS);
      $display("FAIL");
      $finish;
    end
    if (out_valid && out_ready) begin
      if (out_data !== results[taken] || out_last !== (taken % BEATS == BEATS - 1)) begin
        wrong = wrong + 1;
        $display("picture %0d, result %0d: %0d, TLAST %b; wanted %0d", taken / BEATS, taken % BEATS,
                 $signed(out_data), out_last, $signed(results[taken]));
      end
      taken = taken + 1;
      if (taken == PICTURES * BEATS) begin
        $display("%0d pictures in %0d clocks, %0d results wrong", PICTURES, clocks, wrong);
        if (wrong == 0) $display("PASS");
        else $display("FAIL");
        $finish;
      end
    end
    if (clocks == PATIENCE) begin
      $display("%0d of %0d results after %0d clocks", taken, PICTURES * BEATS, clocks);
      $display("FAIL");
      $finish;
    end
  end
endmodule
