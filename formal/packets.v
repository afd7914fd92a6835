// What `lowbit.rtl.packets` promises, for scripts/formal: a small instance between an outside that may do
// anything that AXI-Stream allows, and an engine that may take its time.
//
// The engine here takes BYTES bytes for a picture and owes RESULTS words for it, each the number of the picture.
// One picture is watched, `watched`, which may be any.
module packets_properties (
    input clk,
    input rst,
    input [7:0] s_data,
    input s_valid,
    input s_last,
    input m_ready,
    input take,   // the engine takes a byte
    input offer,  // the engine offers a word, if it owes one
    input [2:0] watched_input
);
  localparam BYTES = @BYTES@, RESULTS = @RESULTS@;

  wire s_ready, m_valid, m_last, in_valid, out_ready, started, left, cut;
  wire [2:0] m_data;
  wire [7:0] in_data;
  reg [2:0] watched;
  reg started_up = 0;

  // The engine: what it has taken, and what it owes.
  reg [1:0] taken_bytes = 0, words = 0;
  reg [3:0] owed = 0;
  reg [2:0] given_pictures = 0;
  reg offering = 0;
  wire out_valid = offering;
  wire in_taken = in_valid && take;
  wire out_taken = out_valid && out_ready;
  wire whole_taken = in_taken && taken_bytes == BYTES - 1;
  wire last_word = words == RESULTS - 1;

  packets dut (
    .ap_clk(clk), .ap_rst_n(!rst),
    .s_axis_0_tdata(s_data), .s_axis_0_tvalid(s_valid), .s_axis_0_tlast(s_last), .s_axis_0_tready(s_ready),
    .m_axis_0_tdata(m_data), .m_axis_0_tvalid(m_valid), .m_axis_0_tlast(m_last), .m_axis_0_tready(m_ready),
    .in_data(in_data), .in_valid(in_valid), .in_ready(take),
    .out_data(given_pictures), .out_valid(out_valid), .out_ready(out_ready),
    .started(started), .left(left), .cut(cut), .run(1'b1)
  );

  always @(posedge clk) begin
    started_up <= 1;
    watched <= started_up ? watched : watched_input;
    if (rst) begin
      taken_bytes <= 0; owed <= 0; words <= 0; given_pictures <= 0; offering <= 0;
    end else begin
      if (in_taken) taken_bytes <= whole_taken ? 0 : taken_bytes + 1;
      owed <= owed + (whole_taken ? RESULTS : 0) - out_taken;
      if (out_taken) words <= last_word ? 0 : words + 1;
      if (out_taken && last_word) given_pictures <= given_pictures + 1;
      // A word that is offered stays; the next one is one that is still owed.
      offering <= (offering && !out_taken) || (offer && owed > {3'b0, out_taken});
    end
  end

  // The outside: the bytes of the picture that comes, and what became of the watched one.
  reg [1:0] came = 0;
  reg [2:0] number = 0;
  reg entered = 0, was_whole = 0, was_last = 0, gone = 0;
  reg [1:0] seen = 0;
  wire s_taken = s_valid && s_ready;
  wire ends = came == BYTES - 1;
  wire is_watched = m_valid && m_data == watched;
  reg waiting_s = 0, waiting_m = 0, last_s, last_m;
  reg [7:0] data_s;
  reg [2:0] data_m;

  always @(posedge clk) begin
    if (rst) begin
      came <= 0; number <= 0; entered <= 0; was_whole <= 0; was_last <= 0; seen <= 0; gone <= 0;
      waiting_s <= 0; waiting_m <= 0;
    end else begin
      if (s_taken) came <= (ends || s_last) ? 0 : came + 1;
      if (s_taken && (ends || s_last)) begin
        number <= number + 1;
        if (number == watched) begin
          entered <= 1; was_whole <= ends; was_last <= s_last;
        end
      end
      if (is_watched && m_ready) seen <= seen + 1;
      if (left && given_pictures == watched) gone <= 1;
      waiting_s <= s_valid && !s_ready; data_s <= s_data; last_s <= s_last;
      waiting_m <= m_valid && !m_ready; data_m <= m_data; last_m <= m_last;
    end
  end

  always @(*) begin
    assume (rst == !started_up);
    // AXI-Stream outside; and so few pictures that numbers do not come round.
    if (waiting_s) assume (s_valid && s_data == data_s && s_last == last_s);
    if (number == 7) assume (!s_valid);
    if (!rst) begin
      // Handshake: what is offered stays as it is until it is taken.
      if (waiting_m) assert (m_valid && m_data == data_m && m_last == last_m);
      // What a byte is does not change on its way in, and nothing that is taken is lost: the engine takes it.
      if (s_taken) assert (in_taken && in_data == s_data);
      // Only a picture that has come whole goes out, after it has come; its words are counted.
      if (is_watched) assert (entered && was_whole && seen < RESULTS);
      // No loss, no duplication: whoever has gone has been seen as often as it should.
      if (gone) assert (seen == (was_whole ? RESULTS : 0));
      // TLAST is with the last word of a picture that came with TLAST, and nowhere else.
      if (is_watched) assert (m_last == (was_last && seen == RESULTS - 1));
      // A packet is cut where TLAST comes inside a picture; the next byte begins one.
      assert (cut == (s_taken && s_last && !ends));
      if (s_taken && came == 0) assert (started);
    end
  end
endmodule
