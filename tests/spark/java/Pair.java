// SPDX-License-Identifier: Apache-2.0
package com.yahoo.ml.dl.caffe;

import java.io.Serializable;

/** What old SequenceFiles of CaffeOnSpark have as keys: its name and its fields, and nothing else, are theirs. */
public final class Pair<F, S> implements Serializable {
  public F first;
  public S second;

  public Pair(F first, S second) {
    this.first = first;
    this.second = second;
  }
}
