import { mount } from "../app"
import { arrive } from "../arrival"
import { Shell } from "../Shell"
import { Overview } from "./Overview"

mount(
  <Shell title="Dashboard" arrival={await arrive()}>
    <Overview />
  </Shell>,
)
