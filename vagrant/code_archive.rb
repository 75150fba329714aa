# frozen_string_literal: true

require "rubygems/package"
require "stringio"
require "tempfile"
require "zlib"

# The checkout's package as one file. Vagrant copies a directory file by file, and each of some two hundred takes several
# exchanges with the machine: minutes where that is emulated, instead of a second.
module CodeArchive
  # Files of this program's own: they go when it ends.
  @kept = {}

  # The path of a tar.gz with labkit/..., made at most once.
  def self.path(checkout)
    @kept[checkout] ||= Tempfile.new(["labkit-code-", ".tar.gz"]).tap do |file|
      file.binmode
      file.write(compressed(checkout))
      file.close
    end
    @kept[checkout].path
  end

  def self.compressed(checkout)
    tar = StringIO.new("".b)
    Gem::Package::TarWriter.new(tar) do |writer|
      names(checkout).each do |name|
        contents = File.binread(File.join(checkout, name))
        writer.add_file_simple(name, 0o644, contents.bytesize) { |entry| entry.write(contents) }
      end
    end
    Zlib.gzip(tar.string, level: Zlib::BEST_SPEED)
  end

  def self.names(checkout)
    Dir.glob("labkit/**/*", base: checkout).select do |name|
      !name.include?("__pycache__") && File.file?(File.join(checkout, name))
    end
  end

  private_class_method :compressed, :names
end
